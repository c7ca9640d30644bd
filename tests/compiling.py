"""Sets how tests compile (in a seventh of the time, to slower programs) and how long they wait.

As programs that run only a few times (`runtime.quick_compilation`), each as one LLVM module.
"""

import os

from i2v_jax.distributed.runtime import accepts_xla_flag

_WANTED = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_parallel_codegen_split_count=1",
    "--xla_cpu_use_fusion_emitters=false",  # jax 0.11 does not have it
)
XLA_FLAGS = " ".join(filter(accepts_xla_flag, _WANTED))


# Seconds after which a test gives up on something that hangs. How fast a machine is decides no test.
HANG = 1800.0


def environment() -> dict[str, str]:
    """Returns the environment of this process, for a command that compiles in this way."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAGS}"}
