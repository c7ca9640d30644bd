"""Which processes train together, and which GPUs are this one's, decided from the environment alone.

Nothing here asks a backend of jax, which would fix its devices. What jax finds out by itself, when nothing is passed to
`jax.distributed.initialize`, differs: with SLURM and Open MPI it takes one GPU per process, whatever the job has; it
fails inside a SLURM job without srun; and it knows Open MPI only up to version 4.
"""

from i2v_jax.distributed import slurm
from i2v_jax.distributed.machine import Group, Machine, port_of
from i2v_jax.errors import UserError

_TPU_PORT, _KUBERNETES_PORT = 8482, 55527  # those of jax, for the rules of firewalls
_SLICES = ("MEGASCALE_NUM_SLICES", "MEGASCALE_SLICE_ID", "MEGASCALE_COORDINATOR_ADDRESS")


def detect(machine: Machine) -> Group:
    """Returns the processes of this job: one, unless variables of a launcher say that there are more.

    In this order: `JAX_NUM_PROCESSES`, Open MPI, SLURM, Cloud TPU, Kubernetes.

    Raises:
      UserError: variables are missing or contradict each other.
    """
    for launcher in (_explicit, _open_mpi, slurm.detect, _cloud_tpu, _kubernetes):
        if found := launcher(machine):
            return found
    return Group()


def _explicit(machine: Machine) -> Group | None:
    """Returns what the user, a manifest or `launch.local_cluster` wrote into variables."""
    count, index = machine.number("JAX_NUM_PROCESSES"), machine.number("JAX_PROCESS_ID")
    if count is None and index is None:
        return None
    if count == 1:
        return Group("JAX_NUM_PROCESSES", gpus=machine.given_gpus())
    index = machine.number("JOB_COMPLETION_INDEX") if index is None else index  # of an indexed job of Kubernetes
    address = machine.environment.get("JAX_COORDINATOR_ADDRESS") or _first_pod(machine)
    parts = {"JAX_NUM_PROCESSES": count, "JAX_PROCESS_ID": index, "JAX_COORDINATOR_ADDRESS": address or None}
    given = ", ".join(f"{name}={value}" for name, value in parts.items() if value is not None)
    for name, value in parts.items():
        if value is None:
            raise UserError(f"{name} is not set, but {given} is: set all three, or none", name)
    if count is None or index is None or not 0 <= index < count:
        raise UserError(f"{given}: the processes are numbered from 0, correct JAX_PROCESS_ID", "JAX_PROCESS_ID", index)
    return Group("JAX_NUM_PROCESSES", count, index, address, machine.given_gpus())


def _open_mpi(machine: Machine) -> Group | None:
    count, index = machine.number("OMPI_COMM_WORLD_SIZE"), machine.number("OMPI_COMM_WORLD_RANK")
    if count is None or index is None:
        return None
    if count == 1:
        return Group("Open MPI", gpus=machine.given_gpus())
    tasks = machine.number("OMPI_COMM_WORLD_LOCAL_SIZE") or count
    local_index = machine.number("OMPI_COMM_WORLD_LOCAL_RANK") or 0
    # The address of mpirun, which jax takes, need not be that of process 0.
    if tasks < count and not machine.environment.get("JAX_COORDINATOR_ADDRESS"):
        raise UserError(
            f"mpirun started {count} processes on several machines: name that of process 0 and a free port there, with "
            "mpirun -x JAX_COORDINATOR_ADDRESS=HOST:PORT",
            "JAX_COORDINATOR_ADDRESS",
        )
    names = ("OMPI_MCA_orte_hnp_uri", "PMIX_NAMESPACE")  # of a job, up to version 4 and since 5
    job = next((machine.environment[name] for name in names if name in machine.environment), "")
    coordinator = machine.coordinator("127.0.0.1", port_of(sum(job.encode())))
    gpus = machine.given_gpus() or machine.share_of_gpus(tasks, local_index, machine.gpus())
    return Group("Open MPI", count, index, coordinator, gpus)


def _cloud_tpu(machine: Machine) -> Group | None:
    """Returns the hosts of a slice, or of several. In GKE variables name them, elsewhere the metadata server does."""
    environment = machine.environment
    names = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES") or ""
    hosts = [name.strip() for name in names.split(",") if name.strip()]
    index = machine.number("TPU_WORKER_ID") or 0
    slices = {name: environment.get(name, "") for name in _SLICES}
    on_kubernetes = "KUBERNETES_SERVICE_HOST" in environment
    if not on_kubernetes and "tpu" in (environment.get("JAX_PLATFORMS") or "tpu") and machine.tpu():
        if not hosts:
            hosts = _endpoints(machine.metadata("worker-network-endpoints"))
            index = int(machine.metadata("agent-worker-number") or 0)
        variables = _tpu_variables(machine.metadata("tpu-env"))
        slices = {name: value or variables.get(name, "") for name, value in slices.items()}
    if not hosts:
        return None
    count = len(hosts) * int(slices["MEGASCALE_NUM_SLICES"] or 1)
    if count == 1:
        return Group("Cloud TPU")
    index += len(hosts) * int(slices["MEGASCALE_SLICE_ID"] or 0)
    first = slices["MEGASCALE_COORDINATOR_ADDRESS"] or hosts[0]
    return Group("Cloud TPU", count, index, machine.coordinator(first.partition(":")[0], _TPU_PORT))


def _endpoints(text: str) -> list[str]:
    """Returns the hosts of "name:id:address,..." or "name,..."."""
    return [entry.split(":")[-1].strip() for entry in text.split(",") if entry.strip()]


def _tpu_variables(text: str) -> dict[str, str]:
    """Returns the variables of lines "NAME: 'value'"."""
    pairs = (line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def _kubernetes(machine: Machine) -> Group | None:
    """Returns one process for a pod of an indexed job that does not say how many pods it has."""
    pod = machine.number("JOB_COMPLETION_INDEX")
    if "KUBERNETES_SERVICE_HOST" not in machine.environment or pod is None:
        return None
    if pod > 0:
        raise UserError(
            f"this is pod {pod} of an indexed job, which does not know how many there are: set JAX_NUM_PROCESSES in "
            "the manifest, or --distributed=off to train in each pod alone",
            "JAX_NUM_PROCESSES",
        )
    return Group("Kubernetes", note="one process: JAX_NUM_PROCESSES in the manifest joins the pods of an indexed job")


def _first_pod(machine: Machine) -> str:
    """Returns the address of pod 0 of an indexed job, "" outside of Kubernetes.

    Pods are named JOB-INDEX in the subdomain of their service, as in `JOB-0.SUBDOMAIN.NAMESPACE.svc.cluster.local`.
    """
    if "KUBERNETES_SERVICE_HOST" not in machine.environment or "JOB_COMPLETION_INDEX" not in machine.environment:
        return ""
    pod, dot, domain = machine.host_name().partition(".")
    return machine.coordinator(f"{pod.rpartition('-')[0]}-0{dot}{domain}", _KUBERNETES_PORT)
