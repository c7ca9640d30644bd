"""Perceptual distances between Laplacian pyramids, which need no pretrained weights.

L1 (Bojanowski et al. 2018, equation 4), or the penalty of Charbonnier (Lai et al. 2017, section 3.2).
"""

import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.models.layers import at_least_float32

CHARBONNIER = 0.1  # where a difference of pixels in [-1, 1] begins to count as large
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


def laplacian_distance(a: jax.Array, b: jax.Array, levels: int = 4, epsilon: float = 0.0) -> jax.Array:
    """Returns the sum over levels j of the mean penalty of the difference of band j, weighted by 2^j for coarse bands.

    The penalty of d is sqrt(d^2 + epsilon^2) - epsilon: |d| where epsilon is 0. Otherwise it is flat at 0, so that many
    small errors, as of a background that stands still, pull less than a few large ones, as of what moves.

    The pyramid is linear, so the bands of a - b are those of a minus those of b. Small blurs and shifts of edges, which
    a plain L1 hardly sees, show in the fine bands.

    Args:
      a, b: [B, H, W, C], any range; H and W at least 2^(levels - 1).
      levels: number of bands, the coarsest being a low-pass image.
      epsilon: in the unit of the images; `CHARBONNIER` in a loss of that name.
    Returns:
      [B] float32.
    """

    def penalty(band: jax.Array) -> jax.Array:
        if epsilon:
            square = jnp.square(band)
            values = square / (jnp.sqrt(square + epsilon**2) + epsilon)  # the same, without a difference of large terms
        else:
            values = jnp.abs(band)
        return jnp.mean(values, axis=(1, 2, 3))

    rest = at_least_float32(a - b)
    total = jnp.zeros(rest.shape[0])
    for level in range(levels - 1):
        low = _blur(rest)
        band, rest = rest - low, low[:, ::2, ::2]
        total += 2**level * penalty(band)
    return total + 2 ** (levels - 1) * penalty(rest)


def _blur(x: jax.Array) -> jax.Array:
    """Returns images after a separable binomial filter, edges repeated; sums of shifted images are fast everywhere."""
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
