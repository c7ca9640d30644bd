"""Process set-up: compiler flags, compilation cache and the multi-host handshake."""

import importlib.metadata
import os
import pathlib

# Convolutions on the CPU run on two threads instead of one without this fusion. The flag is experimental and XLA aborts
# on flags it does not know, so it is set only for the versions it was tried with.
_CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
_CPU_FLAG_VERSIONS = ("0.10.2",)


def configure_platform() -> None:
    """Sets compiler flags and the persistent compilation cache. Call before the first jax operation; entry points do.

    `I2V_JAX_CACHE` names the folder for compiled programs and pretrained weights (default `~/.cache/i2v_jax`).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if importlib.metadata.version("jaxlib") in _CPU_FLAG_VERSIONS and "ynn_fusion_type" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_CPU_FLAG}".strip()
    import jax  # after the flags: the first import of a backend reads them

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def cache_dir() -> pathlib.Path:
    """The folder for things that can be made again: compiled programs and imported weights."""
    return pathlib.Path(os.environ.get("I2V_JAX_CACHE", pathlib.Path.home() / ".cache" / "i2v_jax"))


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
