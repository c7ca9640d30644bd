"""Converts pixels between ranges. The arithmetic works on NumPy and on JAX arrays.

Networks, metrics and samples use signed pixels, float in [-1, 1]. Files, videos and sources use levels, uint8 in
[0, 255]. Some backbones take unit pixels, float in [0, 1].
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = TypeVar("Array", np.ndarray, jax.Array)

HALF_RANGE = 127.5  # levels between a signed pixel of 0 and one of 1


def to_levels(signed: Array) -> Array:
    """Returns levels in [0, 255], not rounded, of pixels in [-1, 1]."""
    return (signed + 1) * HALF_RANGE


def from_levels(levels: ArrayLike) -> NDArray[np.float32]:
    """Returns float32 pixels in [-1, 1] of levels in [0, 255], of any type."""
    signed = np.multiply(levels, np.float32(1 / HALF_RANGE), dtype=np.float32)
    signed -= np.float32(1.0)
    return signed


def to_uint8(signed: ArrayLike) -> NDArray[np.uint8]:
    """Returns rounded levels of pixels in [-1, 1], clipped, NaN as black. uint8 is returned as it is."""
    array = np.asarray(signed)
    if array.dtype == np.uint8:
        return array
    levels = np.nan_to_num(to_levels(np.asarray(array, np.float32)), nan=0.0)
    return levels.clip(0, 255).round().astype(np.uint8)


def truncated(signed: jax.Array) -> jax.Array:
    """Returns pixels in [-1, 1] cut down to whole levels, as PyTorch's conversion to bytes does."""
    return jnp.trunc(to_levels(signed)) / HALF_RANGE - 1


def to_unit(signed: Array) -> Array:
    """Returns pixels in [0, 1] of pixels in [-1, 1]."""
    return (signed + 1) / 2
