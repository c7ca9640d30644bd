"""How quick tests compile: a third of the processor's time, for programs that are slower.

Without LLVM's optimizations, and kernels emitted without MLIR, whose passes take longer than LLVM's on small ones.
"""

import os

XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def environment() -> dict[str, str]:
    """That of this process, for a command that compiles so."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAGS}"}
