"""What is decided from the environment of a process: with whom it works, where they meet, and which GPUs it takes."""

import pytest

from i2v_jax.distributed.launchers import detect
from i2v_jax.distributed.machine import Machine
from i2v_jax.distributed.slurm import first_host
from i2v_jax.errors import UserError

STEP = {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "node[01-04]"}
EIGHT = "0,1,2,3,4,5,6,7"
MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "3"}
ON_GKE = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
SLICES = {"MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1", "MEGASCALE_COORDINATOR_ADDRESS": "job-0-0.job:8080"}
POD = {**ON_GKE, "JOB_COMPLETION_INDEX": "2"}
GCLOUD = {  # attributes of a virtual machine, as of 2024 and before
    "worker-network-endpoints": "unknown:0:10.0.0.7,unknown:1:10.0.0.8",
    "agent-worker-number": "1",
    "tpu-env": "ACCELERATOR_TYPE: 'v5litepod-8'\nWORKER_ID: '1'\n",
}


def machine(environment, gpus=0, metadata=None):
    """A machine with GPUs, or with a TPU if there is `metadata`."""
    found = metadata or {}
    return Machine(
        environment, lambda: gpus, lambda: bool(found), lambda name: found.get(name, ""), lambda: "pod-2.svc.x"
    )


def step(tasks, task, local, nodes, **more):
    return {
        **STEP,
        "SLURM_NTASKS": str(tasks),
        "SLURM_PROCID": str(task),
        "SLURM_LOCALID": str(local),
        "SLURM_STEP_NUM_NODES": str(nodes),
        **more,
    }


CASES = {
    "nothing": ({}, 8, (1, 0, "", None)),
    # four nodes with a process each, and eight GPUs for it: all of them
    "a task per node": (
        step(4, 2, 0, 4, CUDA_VISIBLE_DEVICES=EIGHT, SLURM_GPUS_ON_NODE="8"), 8,
        (4, 2, "node01:62055", (0, 1, 2, 3, 4, 5, 6, 7)),
    ),
    # --gpus-per-task=1: a task sees its own GPU alone
    "bound": (
        step(4, 3, 3, 1, CUDA_VISIBLE_DEVICES="0", SLURM_GPUS_ON_NODE="4"), 4, (4, 3, "127.0.0.1:62055", (0,)),
    ),
    "bound, two each": (
        step(4, 1, 1, 1, CUDA_VISIBLE_DEVICES="2,3", SLURM_GPUS_ON_NODE="8"), 8, (4, 1, "127.0.0.1:62055", (0, 1)),
    ),
    "bound, by variables of old versions": (
        step(2, 1, 1, 1, CUDA_VISIBLE_DEVICES="0,1", SLURM_GPUS_PER_TASK="2"), 4, (2, 1, "127.0.0.1:62055", (0, 1)),
    ),
    # --gres=gpu:4: all tasks of a node see the same
    "shared": (
        step(8, 5, 1, 2, CUDA_VISIBLE_DEVICES="0,1,2,3", SLURM_GPUS_ON_NODE="4"), 4, (8, 5, "node01:62055", (1,)),
    ),
    "shared, as MIG and UUIDs": (
        step(2, 1, 1, 1, CUDA_VISIBLE_DEVICES="MIG-a,MIG-b,GPU-c,GPU-d", SLURM_GPUS_ON_NODE="4"), 4,
        (2, 1, "127.0.0.1:62055", (2, 3)),
    ),
    "shared, without a variable": (step(2, 1, 1, 1), 4, (2, 1, "127.0.0.1:62055", (2, 3))),
    "ROCm": (
        step(2, 1, 1, 1, ROCR_VISIBLE_DEVICES="0,1", SLURM_GPUS_ON_NODE="2"), 2, (2, 1, "127.0.0.1:62055", (1,)),
    ),
    "uneven nodes": (
        step(5, 4, 0, 3, SLURM_STEP_TASKS_PER_NODE="2(x2),1", SLURM_NODEID="2", CUDA_VISIBLE_DEVICES="0,1",
             SLURM_GPUS_ON_NODE="2"), 2, (5, 4, "node01:62055", (0, 1)),
    ),
    "without GPUs": (step(2, 1, 1, 1), 0, (2, 1, "127.0.0.1:62055", None)),
    "on the CPU of a job with GPUs": (
        step(2, 1, 1, 1, SLURM_GPUS_ON_NODE="4", JAX_PLATFORMS="cpu"), 0, (2, 1, "127.0.0.1:62055", None),
    ),
    "a second step": (step(2, 1, 1, 1, SLURM_STEP_ID="3"), 0, (2, 1, "127.0.0.1:62058", None)),
    "a step with fewer tasks": (step(8, 0, 0, 1, SLURM_STEP_NUM_TASKS="1"), 0, (1, 0, "", None)),
    "an address": (step(2, 1, 1, 2, JAX_COORDINATOR_ADDRESS="ib0:7000"), 0, (2, 1, "ib0:7000", None)),
    "a port": (step(2, 1, 1, 2, JAX_COORDINATOR_PORT="7000"), 0, (2, 1, "node01:7000", None)),
    "a batch script": (
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
         "SLURM_JOB_NODELIST": "localhost"}, 4, (1, 0, "", None),
    ),
    "a shell by ssh": ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8", "SLURM_JOB_NODELIST": "x"}, 4, (1, 0, "", None)),
    "mpirun": ({**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 8, (4, 3, "127.0.0.1:61440", (6, 7))),
    "mpirun, bound": (
        {**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "4", "CUDA_VISIBLE_DEVICES": "3"}, 4, (4, 3, "127.0.0.1:61440", (0,)),
    ),
    "mpirun below srun": (
        {**STEP, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1", **MPI}, 0,
        (4, 3, "127.0.0.1:61440", None),
    ),
    "mpirun on machines": (
        {**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "JAX_COORDINATOR_ADDRESS": "a:1"}, 0, (4, 3, "a:1", None),
    ),
    "explicit": (
        {**step(8, 0, 0, 1), "JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1",
         "JAX_LOCAL_DEVICE_IDS": "2,3"}, 0, (2, 1, "a:1", (2, 3)),
    ),
    "explicitly one": ({"JAX_NUM_PROCESSES": "1", **step(8, 0, 0, 1)}, 0, (1, 0, "", None)),
    "pods with GPUs": ({**POD, "JAX_NUM_PROCESSES": "4"}, 8, (4, 2, "pod-0.svc.x:55527", None)),
    "a single pod": ({**POD, "JOB_COMPLETION_INDEX": "0"}, 8, (1, 0, "", None)),
    "TPU slice in GKE": (
        {**ON_GKE, "TPU_WORKER_HOSTNAMES": "a,b,c,d", "TPU_WORKER_ID": "3"}, 0, (4, 3, "a:8482", None),
    ),
    "one host in GKE": ({**ON_GKE, "TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, 0, (1, 0, "", None)),
    "slices of one host": (
        {**ON_GKE, **SLICES, "TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, 0,
        (2, 1, "job-0-0.job:8482", None),
    ),
    "slices of two hosts": (
        {**ON_GKE, **SLICES, "TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}, 0, (4, 3, "job-0-0.job:8482", None),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_processes(name):
    environment, gpus, (count, index, coordinator, own) = CASES[name]
    group = detect(machine(environment, gpus))
    assert (group.count, group.index, group.coordinator, group.gpus) == (count, index, coordinator, own)


@pytest.mark.parametrize("local", range(4))
def test_gpus_of_a_node_are_divided_without_gaps(local):
    environment = step(4, local, local, 1, CUDA_VISIBLE_DEVICES=EIGHT, SLURM_GPUS_ON_NODE="8")
    assert detect(machine(environment)).gpus == (2 * local, 2 * local + 1)


@pytest.mark.parametrize("name", ["a batch script", "a shell by ssh", "a step with fewer tasks"])
def test_one_process_of_a_job_is_explained(name):
    environment, gpus, _ = CASES[name]
    assert environment["SLURM_JOB_ID"] in detect(machine(environment, gpus)).note


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (GCLOUD, (2, 1, "10.0.0.7:8482")),
        ({**GCLOUD, "worker-network-endpoints": "t1v-w-0,t1v-w-1"}, (2, 1, "t1v-w-0:8482")),
        ({**GCLOUD, "worker-network-endpoints": "10.0.0.7", "agent-worker-number": "0"}, (1, 0, "")),
        (
            {**GCLOUD, "tpu-env": "".join(f"{name}: '{value}'\n" for name, value in SLICES.items())},
            (4, 3, "job-0-0.job:8482"),
        ),
    ],
)
def test_a_tpu_of_gcloud_asks_the_metadata_server(attributes, expected):
    group = detect(machine({}, metadata=attributes))
    assert (group.count, group.index, group.coordinator) == expected
    assert detect(machine({"JAX_PLATFORMS": "cpu"}, metadata=attributes)).count == 1


@pytest.mark.parametrize(
    ("environment", "gpus", "field"),
    [
        (step(4, 2, 0, 4, CUDA_VISIBLE_DEVICES="0", SLURM_GPUS_ON_NODE="8"), 8, "SLURM_GPUS_ON_NODE"),
        (step(1, 0, 0, 1, CUDA_VISIBLE_DEVICES="0", SLURM_GPUS_ON_NODE="8"), 8, "SLURM_GPUS_ON_NODE"),
        (step(1, 0, 0, 1, SLURM_GPUS_ON_NODE="8"), 0, "SLURM_GPUS_ON_NODE"),  # a container without them
        (step(3, 2, 2, 1, CUDA_VISIBLE_DEVICES=EIGHT, SLURM_GPUS_ON_NODE="8"), 8, "GPUs"),
        (step(2, 1, 1, 1, SLURM_STEP_NUM_TASKS="two"), 0, "SLURM_STEP_NUM_TASKS"),
        ({"JAX_NUM_PROCESSES": "2", "JAX_COORDINATOR_ADDRESS": "a:1"}, 0, "JAX_PROCESS_ID"),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}, 0, "JAX_COORDINATOR_ADDRESS"),
        ({"JAX_PROCESS_ID": "1", "JAX_COORDINATOR_ADDRESS": "a:1"}, 0, "JAX_NUM_PROCESSES"),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2", "JAX_COORDINATOR_ADDRESS": "a:1"}, 0, "JAX_PROCESS_ID"),
        ({**MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 0, "JAX_COORDINATOR_ADDRESS"),
        (POD, 0, "JAX_NUM_PROCESSES"),
    ],
)
def test_contradictions_are_refused(environment, gpus, field):
    with pytest.raises(UserError) as caught:
        detect(machine(environment, gpus))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "gpus"), [("", 0), ("-1", 0), ("NoDevFiles", 0), ("0", 1), ("0,2,-1,3", 2), ("GPU-8932f937", 1)]
)
def test_visible_gpus_are_counted_as_cuda_does(text, gpus):
    assert machine({"CUDA_VISIBLE_DEVICES": text}, 8).visible_gpus() == gpus


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node01", "node01"),
        ("node01,other", "node01"),
        ("node[001-004]", "node001"),
        ("node[007,010-012]-ib,other[1-2]", "node007-ib"),
        ("rack[2-3]n[05-09]", "rack2n05"),
    ],
)
def test_first_host(nodes, first):
    assert first_host(nodes) == first
