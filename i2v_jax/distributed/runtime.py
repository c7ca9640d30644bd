"""Process set-up: compiler flags, compilation cache and the multi-host handshake."""

import contextlib
import functools
import importlib.metadata
import os
import subprocess
import sys

from i2v_jax import files

# Without this fusion, convolutions on the CPU run on two threads instead of one, and since jax 0.11 their gradients are
# more precise.
_CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"


def configure_platform() -> None:
    """Sets compiler flags and the persistent compilation cache. Call before the first jax operation; entry points do.

    `I2V_JAX_CACHE` names the folder for compiled programs and pretrained weights (default `~/.cache/i2v_jax`).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "ynn_fusion_type" not in flags and accepts_xla_flag(_CPU_FLAG):
        os.environ["XLA_FLAGS"] = f"{flags} {_CPU_FLAG}".strip()
    import jax  # after the flags: the first import of a backend reads them

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(files.cache_dir() / "compiled"))


@functools.cache
def accepts_xla_flag(flag: str) -> bool:
    """Returns whether the installed XLA accepts `flag` ("--name=value"). XLA aborts a process that sets an unknown one.

    A subprocess tries the flag, which takes a second or two. The cache folder keeps the answer for each jaxlib version.
    """
    answer = files.cache_dir() / "xla_flags" / importlib.metadata.version("jaxlib") / flag.removeprefix("--")
    with contextlib.suppress(OSError):
        if (kept := answer.read_text()) in ("accepted", "refused"):
            return kept == "accepted"
    probe = subprocess.run(
        [sys.executable, "-P", "-c", "import jax; jax.devices()"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag},
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


def initialize_distributed() -> None:
    """Joins the other processes of this job, where there are any; call once, before any array is made.

    A job is recognized by its environment: SLURM (more than one task), Open MPI, a Cloud TPU pod, or
    JAX_COORDINATOR_ADDRESS with JAX_NUM_PROCESSES and JAX_PROCESS_ID. Processes on CPUs talk through Gloo.
    """
    import jax

    sizes = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "JAX_NUM_PROCESSES")
    several = any(int(os.environ.get(name, "1")) > 1 for name in sizes)
    pod = "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    if not (several or pod):
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if "JAX_NUM_PROCESSES" in os.environ:
        jax.distributed.initialize(
            os.environ["JAX_COORDINATOR_ADDRESS"],
            int(os.environ["JAX_NUM_PROCESSES"]),
            int(os.environ["JAX_PROCESS_ID"]),
        )
    else:
        jax.distributed.initialize()
