"""A perceptual distance without pretrained weights: L1 between Laplacian pyramids (Bojanowski et al. 2018, eq. 4)."""

import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.models.layers import at_least_float32

_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def laplacian_distance(a: jax.Array, b: jax.Array, levels: int = 4) -> jax.Array:
    """Sum over levels j of the mean absolute difference of band j, the coarser bands weighing 2^j times as much.

    The pyramid is linear, so the bands of a - b are those of a minus those of b. Small blurs and shifts of edges, which
    a plain L1 hardly sees, show in the fine bands.

    Args:
      a, b: [B, H, W, C], any range; H and W at least 2^(levels - 1).
      levels: number of bands, the coarsest being a low-pass image.
    Returns:
      [B] float32.
    """
    rest = at_least_float32(a - b)
    total = jnp.zeros(rest.shape[0])
    for level in range(levels - 1):
        low = _blur(rest)
        band, rest = rest - low, low[:, ::2, ::2]
        total += 2**level * jnp.mean(jnp.abs(band), axis=(1, 2, 3))
    return total + 2 ** (levels - 1) * jnp.mean(jnp.abs(rest), axis=(1, 2, 3))


def _blur(x: jax.Array) -> jax.Array:
    """Separable binomial filter, edges repeated; as sums of shifted images, which is quick on every platform."""
    for axis in (1, 2):
        width = [(0, 0)] * x.ndim
        width[axis] = (2, 2)
        padded = jnp.pad(x, width, mode="edge")
        size = x.shape[axis]
        x = sum(
            weight * jax.lax.slice_in_dim(padded, shift, shift + size, axis=axis)
            for shift, weight in enumerate(_BINOMIAL)
        )
    return x
