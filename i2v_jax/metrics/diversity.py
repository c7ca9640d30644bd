"""The diversity of samples of one start frame: mean squared difference of features (paper, supplement C.1).

The mean over all ordered pairs (i, j), i != j, of the squared difference of numbers x_1 .. x_S is twice their unbiased
variance, which takes one pass and no pairs. The networks are passed as functions, which include range and resizing.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from i2v_jax.errors import UserError

# Samples per start frame in the papers.
SAMPLES = 5

ClipFeatures = Callable[[jax.Array], jax.Array]  # videos [N, T, H, W, C] -> [N, D]
FrameFeatures = Callable[[jax.Array], Sequence[jax.Array]]  # images [N, H, W, C] -> layers [N, ...]


def pairwise_diversity(features: ArrayLike) -> jax.Array:
    """Returns the diversity [B] of features [B, S, ...] of S samples of each of B start frames.

    It is the mean over ordered pairs of different samples and over all entries of the squared difference.

    Raises:
        UserError: fewer than two samples.
    """
    features = jnp.asarray(features)
    if features.ndim < 2 or features.shape[1] < 2:
        raise UserError(
            f"diversity needs at least 2 samples of each start frame, the features have shape {features.shape}",
            field="samples",
            value=features.shape,
        )
    return jnp.mean(2 * jnp.var(features, axis=1, ddof=1), axis=range(1, features.ndim - 1))


def clip_diversity(extract: ClipFeatures, samples: ArrayLike) -> jax.Array:
    """Returns diversity I3D or DTI3D [B] of samples [B, S, T, H, W, C]. Raises as `pairwise_diversity`."""
    samples = jnp.asarray(samples)
    features = extract(samples.reshape(-1, *samples.shape[2:]))
    return pairwise_diversity(features.reshape(*samples.shape[:2], -1))


def frame_diversity(extract: FrameFeatures, samples: ArrayLike) -> jax.Array:
    """Returns diversity VGG [B] of samples [B, S, T, H, W, C]: the mean over frames and layers, equally weighted.

    It takes one frame of all samples at a time, because the features of whole videos would not fit into memory. Raises
    as `pairwise_diversity`.
    """
    samples = jnp.asarray(samples)

    def at_one_time(frames: jax.Array) -> jax.Array:
        layers = extract(frames.reshape(-1, *frames.shape[2:]))
        values = [pairwise_diversity(layer.reshape(*frames.shape[:2], *layer.shape[1:])) for layer in layers]
        return jnp.mean(jnp.stack(values), axis=0)

    return jnp.mean(jax.lax.map(at_one_time, jnp.moveaxis(samples, 2, 0)), axis=0)
