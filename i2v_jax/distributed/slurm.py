"""The processes of a SLURM job step, and which GPUs of their node are whose."""

import re

from i2v_jax.distributed.machine import Group, Machine, port_of
from i2v_jax.errors import UserError

_OF_A_TASK = ("SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")  # srun sets them


def detect(machine: Machine) -> Group | None:
    """Returns the tasks of the step that this process belongs to, None outside of SLURM.

    A batch script, an ssh or IDE shell inside a job, and a step of one task are one process.

    Raises:
      UserError: the task sees another number of GPUs than SLURM gave it, or they cannot be divided.
    """
    environment = machine.environment
    if "SLURM_JOB_ID" not in environment:
        return None
    job = environment["SLURM_JOB_ID"]
    if not all(name in environment for name in _OF_A_TASK):
        tasks = machine.number("SLURM_NTASKS") or 1
        note = f"one process: srun did not start it, inside SLURM job {job}"
        return Group("SLURM", note=f"{note}; started by srun, the job's {tasks} tasks train together" * (tasks > 1))
    count = machine.number("SLURM_STEP_NUM_TASKS") or machine.number("SLURM_NTASKS") or 1
    nodes = machine.number("SLURM_STEP_NUM_NODES") or 1
    gpus = machine.given_gpus() or _gpus(machine, _tasks_on_this_node(machine, count, nodes))
    if count == 1:
        return Group("SLURM", gpus=gpus, note=f"one process: this step of SLURM job {job} has one task")
    host = "127.0.0.1" if nodes == 1 else first_host(environment["SLURM_STEP_NODELIST"])
    step = machine.number("SLURM_STEP_ID") or 0  # several may run at the same time
    port = port_of((machine.number("SLURM_JOB_ID") or 0) + step)
    return Group("SLURM", count, machine.number("SLURM_PROCID") or 0, machine.coordinator(host, port), gpus)


def first_host(nodes: str) -> str:
    """Returns the first name of a list of nodes: "node007-ib" of "node[007-010,12]-ib,other"."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    assert first  # it matches everything
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0])


def _tasks_on_this_node(machine: Machine, count: int, nodes: int) -> int:
    """Returns how many tasks of the step run on this node: from "2(x3),1", a number per node, or the average."""
    each: list[int] = []
    for tasks, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", machine.environment.get("SLURM_STEP_TASKS_PER_NODE", "")):
        each += [int(tasks)] * int(times or 1)
    node = machine.number("SLURM_NODEID") or 0
    return each[node] if node < len(each) else -(-count // nodes)


def _gpus(machine: Machine, tasks: int) -> tuple[int, ...] | None:
    """Returns the GPUs of this task: all that it sees, divided among the tasks of the node that see the same."""
    total, seen = machine.number("SLURM_GPUS_ON_NODE"), machine.visible_gpus()
    if total is None and _binds(machine):
        total = seen * tasks
    without = machine.environment.get("JAX_PLATFORMS") == "cpu" and not seen
    if total is not None and not without and seen != total and seen * tasks != total:
        raise UserError(
            f"SLURM_GPUS_ON_NODE={total} for {tasks} tasks on this node, but this task sees {seen} GPUs: leave "
            "CUDA_VISIBLE_DEVICES to SLURM, give a container the GPUs, and ask for them with --gpus-per-node or "
            "--gpus-per-task (--distributed=off trains with what is there)",
            "SLURM_GPUS_ON_NODE",
            total,
        )
    return machine.share_of_gpus(tasks, machine.number("SLURM_LOCALID") or 0, total)


def _binds(machine: Machine) -> bool:
    """Returns whether SLURM was asked to give each task GPUs of its own."""
    environment = machine.environment
    return (
        "SLURM_GPUS_PER_TASK" in environment
        or environment.get("SLURM_GPU_BIND", "none") != "none"
        or "gpu" in environment.get("SLURM_TRES_PER_TASK", "")
    )
