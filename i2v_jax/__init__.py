"""Image-to-video synthesis in JAX and Flax: conditional invertible networks, and images that answer to pokes.

In a notebook, start with `i2v_jax.load(MODEL).show(IMAGE)`. From Python, start with
`i2v_jax.sampling.load.load_generator`, which returns the model of a work directory, or with `i2v_jax.config_files.load`
and `i2v_jax.training.run.train_stages`, which train one. The commands are in `i2v_jax.launch`; `i2v --help` lists them.
docs/architecture.md says where everything is, and docs/extending.md how to add to it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2v_jax.notebook import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Imports `load` when it is used: most who import this package do not need jax."""
    if name == "load":
        from i2v_jax.notebook import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
