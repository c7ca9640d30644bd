"""Changes of resolution in time and space."""

import jax
import jax.numpy as jnp
import numpy as np


def repeat(x: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    """Nearest-neighbour up-sampling by whole factors, one per axis between the batch and the channels."""
    for axis, factor in enumerate(factors, start=1):
        if factor > 1:
            x = jnp.repeat(x, factor, axis)
    return x


def resize_bilinear(images: jax.Array, height: int, width: int) -> jax.Array:
    """[B, H, W, C] -> [B, height, width, C], corners aligned, without anti-aliasing."""
    if images.shape[1:3] == (height, width):
        return images
    rows = jnp.asarray(_interpolation(images.shape[1], height), images.dtype)
    columns = jnp.asarray(_interpolation(images.shape[2], width), images.dtype)
    return jnp.einsum("hH,wW,bHWc->bhwc", rows, columns, images)


def _interpolation(size_in: int, size_out: int) -> np.ndarray:
    """The matrix [size_out, size_in] of linear interpolation with aligned corners."""
    positions = np.linspace(0, size_in - 1, size_out)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(size_in)[None, :]))


def max_pool(x: jax.Array, strides: tuple[int, ...]) -> jax.Array:
    """Maximum over windows of 3 in every axis between the batch and the channels, padded by 1.

    The maximum separates into one pass per axis, which both derivatives handle far better than a window reduction.
    """
    for axis, stride in enumerate(strides, start=1):
        widths = [(0, 0)] * x.ndim
        widths[axis] = (1, 1)
        padded = jnp.pad(x, widths, constant_values=-jnp.inf)
        span = stride * ((x.shape[axis] - 1) // stride) + 1
        first, second, third = (jax.lax.slice_in_dim(padded, tap, tap + span, stride, axis) for tap in range(3))
        x = jnp.maximum(jnp.maximum(first, second), third)
    return x
