"""Group and instance normalisation. Statistics are float32 whatever the type of the tensor."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.layers import at_least_float32

GROUPS = 16
EPS = 1e-5


def normalise_groups(x: jax.Array, groups: int = GROUPS) -> jax.Array:
    """Zero mean and unit variance per sample and group of channels; no affine map.

    `groups` is lowered until it divides the channels. [B, ..., C] -> [B, ..., C].
    """
    channels = x.shape[-1]
    groups = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
    grouped = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), groups, channels // groups)
    return _normalise(grouped, axes=(1, 3)).reshape(x.shape)


def normalise_instances(x: jax.Array) -> jax.Array:
    """Zero mean and unit variance per sample and channel; no affine map. [B, ..., C] -> [B, ..., C]."""
    return _normalise(x, axes=tuple(range(1, x.ndim - 1)))


def _normalise(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    wide = at_least_float32(x)
    centred = wide - jnp.mean(wide, axes, keepdims=True)
    variance = jnp.mean(centred**2, axes, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + EPS)).astype(x.dtype)


class GroupNorm(nn.Module):
    """`normalise_groups` and a learned scale and bias per channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return normalise_groups(x) * scale.astype(x.dtype) + bias.astype(x.dtype)
