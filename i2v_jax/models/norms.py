"""Group and instance normalization. Statistics are at least float32."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.layers import at_least_float32, broadcast_like

GROUPS = 16
EPS = 1e-5


def normalize_groups(x: jax.Array, groups: int = GROUPS) -> jax.Array:
    """Normalizes to zero mean and unit variance per sample and group of channels, without an affine map.

    `groups` is lowered until it divides the channels. [B, ..., C] -> [B, ..., C].
    """
    channels = x.shape[-1]
    groups = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
    return _normalize(x, channels // groups)


def normalize_instances(x: jax.Array) -> jax.Array:
    """Normalizes to zero mean and unit variance per sample and channel: [B, ..., C] -> [B, ..., C]."""
    return _normalize(x, group_size=1)


@functools.partial(jax.jit, static_argnames="group_size")  # traced and differentiated once per shape, not per layer
def _normalize(x: jax.Array, group_size: int) -> jax.Array:
    """Reduces over positions first, then over the few channels of a group.

    The first reduction keeps channels contiguous, which is several times faster on a CPU than reducing over both."""
    wide = at_least_float32(x).reshape(x.shape[0], -1, x.shape[-1])

    def mean(values: jax.Array) -> jax.Array:
        per_channel = jnp.mean(values, axis=1, keepdims=True)
        if group_size == 1:
            return per_channel
        per_group = jnp.mean(per_channel.reshape(x.shape[0], 1, -1, group_size), axis=-1)
        return jnp.repeat(per_group, group_size, axis=-1)

    centered = wide - mean(wide)
    return (centered * jax.lax.rsqrt(mean(centered**2) + EPS)).reshape(x.shape).astype(x.dtype)


class GroupNorm(nn.Module):
    """`normalize_groups` and a learned scale and bias per channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return normalize_groups(x) * broadcast_like(scale, x) + broadcast_like(bias, x)
