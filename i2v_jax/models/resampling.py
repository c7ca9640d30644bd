"""Changes of resolution in time and space."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.interpolation import linear_weights


def repeat(x: jax.Array, factors: tuple[int, ...]) -> jax.Array:
    """Repeats values (nearest-neighbor up-sampling) by one integer factor per axis between batch and channels."""
    for axis, factor in enumerate(factors, start=1):
        if factor > 1:
            x = jnp.repeat(x, factor, axis)
    return x


def resize_bilinear(images: jax.Array, height: int, width: int) -> jax.Array:
    """Resizes [..., H, W, C] to [..., height, width, C], with aligned corners and without anti-aliasing."""
    if images.shape[-3:-1] == (height, width):
        return images
    rows, columns = np.linspace(0, images.shape[-3] - 1, height), np.linspace(0, images.shape[-2] - 1, width)
    return interpolate(images, rows, columns)


def interpolate(images: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Interpolates bilinearly on a grid: [..., H, W, C] -> [..., len(rows), len(columns), C].

    It separates into two matrix products, which run in full precision on accelerators too.

    Args:
      images: any leading axes.
      rows, columns: positions in pixels, within 0..H-1 and 0..W-1.
    """
    vertical = jnp.asarray(linear_weights(rows, images.shape[-3]), images.dtype)
    horizontal = jnp.asarray(linear_weights(columns, images.shape[-2]), images.dtype)
    return jnp.einsum("hH,wW,...HWc->...hwc", vertical, horizontal, images, precision=jax.lax.Precision.HIGHEST)


def warp(images: jax.Array, flow: jax.Array, outside: Literal["constant", "nearest"] = "constant") -> jax.Array:
    """Returns what images [B, H, W, C] show at the ends of a flow [B, H, W, 2], (dx, dy) in pixels, bilinear.

    Outside of an image is 0, or with "nearest" its edge.
    """
    rows, columns = (jnp.arange(size, dtype=flow.dtype) for size in flow.shape[1:3])

    def sample(plane: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.scipy.ndimage.map_coordinates(plane, [y, x], order=1, mode=outside)

    over_channels = jax.vmap(sample, (-1, None, None), -1)
    return jax.vmap(over_channels)(images, columns + flow[..., 0], rows[:, None] + flow[..., 1])


def max_pool(
    x: jax.Array,
    strides: tuple[int, ...],
    sizes: tuple[int, ...] | None = None,
    padding: tuple[tuple[int, int], ...] | None = None,
) -> jax.Array:
    """Returns the maximum over windows along every axis between batch and channels; by default of size 3, padding 1.

    The maximum separates into one pass per axis, whose derivatives are much faster than those of a window reduction.
    """
    sizes, padding = sizes or (3,) * len(strides), padding or ((1, 1),) * len(strides)
    for axis, (stride, size, pads) in enumerate(zip(strides, sizes, padding, strict=True), start=1):
        widths = [(0, 0)] * x.ndim
        widths[axis] = pads
        padded = jnp.pad(x, widths, constant_values=-jnp.inf)
        span = stride * ((padded.shape[axis] - size) // stride) + 1
        taps = (jax.lax.slice_in_dim(padded, tap, tap + span, stride, axis) for tap in range(size))
        x = functools.reduce(jnp.maximum, taps)
    return x
