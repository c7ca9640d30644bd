"""Linear interpolation as a matrix of weights. It works on NumPy and on JAX arrays."""

from typing import TypeVar

import jax
import numpy as np

Array = TypeVar("Array", np.ndarray, jax.Array)


def linear_weights(positions: Array, size: int) -> Array:
    """Returns the weights [..., size] of the nodes 0, 1, ..., size - 1 in linear interpolation at `positions` [...].

    They are hat functions, so they sum to 1 for positions within 0 .. size - 1.
    """
    return (1.0 - abs(positions[..., None] - np.arange(size))).clip(0.0)
