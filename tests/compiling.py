"""How quick tests compile: without LLVM's optimisations, which takes half as long."""

import os

XLA_FLAG = "--xla_backend_optimization_level=0"


def environment() -> dict[str, str]:
    """That of this process, for a command that compiles so."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAG}"}
