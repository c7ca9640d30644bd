"""How quick tests compile: a third of the processor's time, for programs that are slower.

Without LLVM's optimizations, and kernels emitted without MLIR, whose passes take longer than LLVM's on small ones.
"""

import os

from i2v_jax.distributed.runtime import accepts_xla_flag

_WANTED = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")  # jax 0.11 lost the second
XLA_FLAGS = " ".join(filter(accepts_xla_flag, _WANTED))


def environment() -> dict[str, str]:
    """That of this process, for a command that compiles so."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAGS}"}
