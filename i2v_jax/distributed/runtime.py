"""Process set-up: compiler flags, compilation cache and the multi-host handshake."""

import contextlib
import functools
import importlib.metadata
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Literal

from i2v_jax import files
from i2v_jax.distributed import launchers, machine, native
from i2v_jax.distributed.machine import Group, Machine
from i2v_jax.errors import UserError
from i2v_jax.logs import logger

Mode = Literal["auto", "off", "required"]

_YEAR = 365 * 24 * 3600  # seconds
# Without this fusion, convolutions on the CPU run on two threads instead of one, and since jax 0.11 their gradients are
# more precise.
_CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
# For programs on GPUs (docs/performance.md):
# - XLA tries every candidate for a matrix product or a fusion on the card, and compiles the Triton kernels among them
#   first, which takes minutes a program.
# - Channels stay last, as they are here. XLA would put them first for 3D convolutions, which then take three times as
#   long.
# - For several GPUs, XLA simplifies a program also before it divides it. That never settles: XLA tries to swap a small
#   input with its larger kernel, is refused, and takes what is left of the attempt for a change.
GPU_OPTIONS: dict[str, bool | str] = {
    "xla_gpu_enable_triton_gemm": False,
    "xla_gpu_experimental_enable_fusion_autotuner": False,
    "xla_gpu_force_conv_nhwc": True,
    "xla_disable_hlo_passes": "spmd-simplify",
}
# LLVM does not optimize, and kernels are emitted without MLIR, whose passes take longer than LLVM's on small programs.
_QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}  # jax 0.11 lacks the second


def configure_platform() -> None:
    """Sets compiler flags and the persistent compilation cache. Call before the first jax operation; entry points do.

    `I2V_JAX_CACHE` names the folder for compiled programs and pretrained weights (default `~/.cache/i2v_jax`).
    """
    for flag in (_CPU_FLAG, *(_flags(GPU_OPTIONS) if Machine.here().gpus() else ())):
        given = os.environ.get("XLA_FLAGS", "")
        if flag.partition("=")[0] not in given and accepts_xla_flag(flag):
            os.environ["XLA_FLAGS"] = f"{given} {flag}".strip()
    import jax  # after the flags: the first import of a backend reads them

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(files.cache_dir() / "compiled"))


@functools.cache
def quick_compilation() -> dict[str, int | bool]:
    """Returns options of `jax.jit` for programs that run only a few times; none if the default device is not a CPU.

    They compile in a fifth of the time, to programs of half the speed (docs/performance.md).
    """
    import jax

    if jax.default_backend() != "cpu":
        return {}
    flags = zip(_QUICK, _flags(_QUICK), strict=True)
    return {name: _QUICK[name] for name, flag in flags if accepts_xla_flag(flag)}


def _flags(options: Mapping[str, int | bool | str]) -> list[str]:
    """Returns options of a compiler as `XLA_FLAGS` has them."""
    return [f"--{name}={str(value).lower()}" for name, value in options.items()]


@functools.cache
def accepts_xla_flag(flag: str) -> bool:
    """Returns whether the installed XLA accepts `flag` ("--name=value"). XLA aborts a process that sets an unknown one.

    A subprocess lets jaxlib parse the flag, in a few tenths of a second. The cache folder keeps the answer for each
    version of jaxlib.
    """
    answer = files.cache_dir() / "xla_flags" / importlib.metadata.version("jaxlib") / flag.removeprefix("--")
    with contextlib.suppress(OSError):
        if (kept := answer.read_text()) in ("accepted", "refused"):
            return kept == "accepted"
    probe = subprocess.run(
        [sys.executable, "-P", "-c", "from jaxlib import xla_client; xla_client.CompileOptions()"],
        env={**os.environ, "XLA_FLAGS": flag},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    accepted = probe.returncode == 0
    if accepted or flag in probe.stderr:  # otherwise the probe failed for another reason, and may not fail again
        with contextlib.suppress(OSError):  # the folder may be read-only
            answer.parent.mkdir(parents=True, exist_ok=True)
            answer.write_text("accepted" if accepted else "refused")
    return accepted


def initialize_distributed(mode: Mode = "auto", timeout: int = 300) -> Group:
    """Joins the other processes of this job, which `launchers.detect` finds. Call once, before any array is made.

    A single process joins a group of its own, so that one process and several take the same way. Processes on CPUs talk
    through Gloo.

    Args:
      mode: "off" takes this process for the only one, "required" refuses to be the only one.
      timeout: seconds to wait for the other processes.
    Returns:
      the processes, and how they were found.
    Raises:
      UserError: variables of a launcher contradict each other, or the other processes cannot be reached.
    """
    group = Group() if mode == "off" else launchers.detect(Machine.here())
    if mode == "required" and group.count == 1:
        raise UserError(
            f"--distributed=required, but {group.note or 'no launcher is found'}: start it with srun, with mpirun, on "
            "all workers of a TPU, or with JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID",
            "distributed",
            mode,
        )
    _connect(group, timeout)
    if group.index > 0:
        logger.setLevel("WARNING")
    elif group.note:
        logger.info(group.note)
    return group


def _connect(group: Group, timeout: int) -> None:
    import jax

    from i2v_jax.distributed import processes

    several = group.count > 1
    address = group.coordinator or f"127.0.0.1:{machine.free_port()}"
    jax.config.update("jax_enable_preemption_service", False)  # training/interrupt.py asks and answers
    # The devices of one process need no network.
    jax.config.update("jax_cpu_collectives_implementation", "gloo" if several else None)
    try:
        with native.reporting(processes.lost) if several else contextlib.nullcontext():
            jax.distributed.initialize(
                address,
                group.count,
                group.index,
                list(group.gpus) if group.gpus else None,
                cluster_detection_method="deactivate",
                initialization_timeout=timeout,
                # One process misses nobody, also after Ctrl-Z.
                heartbeat_timeout_seconds=processes.HEARTBEAT if several else _YEAR,
                coordinator_bind_address=None if several else address,
            )
    except RuntimeError as error:
        processes.disconnect()
        raise UserError(_unreachable(group, address, timeout, error), "distributed", address) from error
    processes.watch()


def _unreachable(group: Group, address: str, timeout: int, error: Exception) -> str:
    """Returns what is wrong with the address of the coordinator, and what to check."""
    host, _, port = address.rpartition(":")
    others = f"{group.count - 1} other process{'es' * (group.count > 2)}"
    if group.index == 0:
        if "DEADLINE" in str(error) or "bad_cast" in str(error):
            return (
                f"process 0 waited {timeout} s at {address} for {others}: check that all were started with the same "
                f"address, that none was stopped, and that a firewall lets them reach port {port} here"
            )
        return f"process 0 cannot listen at {address} ({error}): set JAX_COORDINATOR_PORT to a free port"
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except socket.gaierror:
        why = f"the name {host} is not known here: check it"
    except TimeoutError:
        why = f"no answer: check that a firewall lets this machine reach port {port} there"
    except OSError as refused:
        why = f"{refused.strerror or refused}: check that process 0 was started there, and not stopped"
    else:
        why = f"it answers, but not all of the {group.count} processes came: check that all were started, none stopped"
    return f"process {group.index} cannot join process 0 at {address} within {timeout} s ({why})"
