"""What tells the processes of a job apart: environment variables, GPUs in sight, and Google's metadata server."""

import dataclasses
import os
import pathlib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from i2v_jax.errors import UserError

_FIRST_PORT, _PORTS = 61440, 4096  # above the ports that the kernel gives away by itself
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


@dataclasses.dataclass(frozen=True)
class Group:
    """The processes that train together, and the place of this one among them."""

    launcher: str = ""  # what started them, for messages; "" if nothing did
    count: int = 1
    index: int = 0
    coordinator: str = ""  # HOST:PORT on which process 0 listens; "" for one process
    gpus: tuple[int, ...] | None = None  # of this process, as positions among the visible ones; None: all of them
    note: str = ""  # what a user should know about the decision


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where a process runs."""

    environment: Mapping[str, str]
    gpus: Callable[[], int]  # returns the number of GPUs that have a driver
    tpu: Callable[[], bool]  # returns whether there are TPU chips
    metadata: Callable[[str], str]  # returns an attribute of a virtual machine on Google Cloud; "" if it has none
    host_name: Callable[[], str]  # returns it with its domain

    @classmethod
    def here(cls) -> "Machine":
        return cls(os.environ, _count_gpus, _has_tpu, _google_metadata, socket.getfqdn)

    def number(self, name: str) -> int | None:
        """Returns an integer variable, None if it is not set. Raises UserError if it is not an integer."""
        text = self.environment.get(name, "").strip()
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise UserError(f"{name}={text} is not an integer: correct or unset it", name, text) from error

    def coordinator(self, host: str, port: int) -> str:
        """Returns HOST:PORT. JAX_COORDINATOR_ADDRESS replaces both, JAX_COORDINATOR_PORT the port."""
        given = self.environment.get("JAX_COORDINATOR_ADDRESS", "")
        return given or f"{host}:{self.number('JAX_COORDINATOR_PORT') or port}"

    def given_gpus(self) -> tuple[int, ...] | None:
        """Returns the GPUs that JAX_LOCAL_DEVICE_IDS names, None if it is not set."""
        text = self.environment.get("JAX_LOCAL_DEVICE_IDS", "")
        try:
            return tuple(map(int, text.split(","))) if text else None
        except ValueError as error:
            message = f"JAX_LOCAL_DEVICE_IDS={text} are not integers with commas between them: correct or unset it"
            raise UserError(message, "JAX_LOCAL_DEVICE_IDS", text) from error

    def visible_gpus(self) -> int:
        """Returns how many GPUs this process sees: those of CUDA_VISIBLE_DEVICES (or ROCm's), otherwise all."""
        for name in _VISIBLE:
            if name in self.environment:
                entries = [entry.strip() for entry in self.environment[name].split(",")]
                invalid = (at for at, entry in enumerate(entries) if entry in ("", "-1", "NoDevFiles"))
                return next(invalid, len(entries))  # CUDA ignores what follows an invalid entry
        return self.gpus()

    def share_of_gpus(self, tasks: int, index: int, total: int | None) -> tuple[int, ...] | None:
        """Returns the GPUs of one of the processes on this machine, as positions among those that it sees.

        Args:
          tasks: number of processes on this machine.
          index: the process among them.
          total: number of GPUs of all these processes, None if it is not known.
        Returns:
          None if they are all that the process sees, and no variable says how many that is.
        Raises:
          UserError: the processes see the same GPUs, and these cannot be divided evenly.
        """
        seen = self.visible_gpus()
        if not seen:
            return None
        bound = total is not None and seen < total and seen * tasks <= total
        if tasks == 1 or bound:
            return tuple(range(seen)) if any(name in self.environment for name in _VISIBLE) else None
        if seen % tasks:
            raise UserError(
                f"{tasks} processes on this machine see the same {seen} GPUs, which cannot be divided evenly: start "
                f"one process, or another number that divides {seen}",
                "GPUs",
                seen,
            )
        each = seen // tasks
        return tuple(range(index * each, (index + 1) * each))


def port_of(job: int) -> int:
    """Returns the port of a job's coordinator: one that other jobs on the same machine probably do not have."""
    return _FIRST_PORT + job % _PORTS


def free_port() -> int:
    """Returns a port that nobody listens on at 127.0.0.1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _count_gpus() -> int:
    return len(list(pathlib.Path("/dev").glob("nvidia[0-9]*"))) or len(list(pathlib.Path("/dev/dri").glob("renderD*")))


def _has_tpu() -> bool:
    """Raises UserError if there are chips that jax would leave alone, because their library is missing."""
    from jax._src import cloud_tpu_init, hardware_utils  # they look at the bus; no public function does

    chips, _ = hardware_utils.num_available_tpu_chips_and_device_id()
    if chips and not cloud_tpu_init.running_in_cloud_tpu_vm:
        raise UserError(
            f"this machine has {chips} TPU chips, but libtpu is not installed: pip install 'jax[tpu]', or set "
            "JAX_PLATFORMS=cpu to leave them alone",
            "libtpu",
        )
    return cloud_tpu_init.running_in_cloud_tpu_vm


def _google_metadata(attribute: str) -> str:
    host = os.environ.get("GCE_METADATA_IP", "metadata.google.internal")
    url = f"http://{host}/computeMetadata/v1/instance/attributes/{attribute}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    for attempt in range(3):  # the server of a machine that has just booted may be late
        time.sleep(attempt)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return ""
        except OSError:
            pass
    raise UserError(
        f"this machine has TPU chips, but the metadata server {host} does not answer for {attribute}: set "
        "TPU_WORKER_HOSTNAMES and TPU_WORKER_ID, or --distributed=off on a single host",
        "distributed",
    )
