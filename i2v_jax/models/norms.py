"""Group, instance and batch normalization, with a scale and a bias for each channel, or for each sample and channel.

Statistics are at least float32.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.layers import at_least_float32

GROUPS = 16
EPS = 1e-5


def normalize_groups(
    x: jax.Array, scale: jax.Array | None = None, bias: jax.Array | None = None, *, groups: int = GROUPS
) -> jax.Array:
    """Normalizes to zero mean and unit variance per sample and group of channels; then scales and shifts.

    `groups` is lowered until it divides the channels. x [B, ..., C], scale and bias [C] or [B, C] -> [B, ..., C].
    """
    channels = x.shape[-1]
    groups = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
    return _normalize(x, scale, bias, _Statistics(group_size=channels // groups))[0]


def normalize_instances(x: jax.Array, scale: jax.Array | None = None, bias: jax.Array | None = None) -> jax.Array:
    """Normalizes to zero mean and unit variance per sample and channel; then scales and shifts.

    x [B, ..., C], scale and bias [C] or [B, C] -> [B, ..., C].
    """
    return _normalize(x, scale, bias, _Statistics())[0]


class _Statistics(NamedTuple):
    """What has one mean and one variance: all positions of a sample, of so many channels, or of all samples."""

    group_size: int = 1
    over_batch: bool = False
    eps: float = EPS

    def of(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns mean and variance of x [B, ..., C], both [B or 1, 1, C]."""
        rows = _rows(x)
        mean = self.shared(jnp.mean(rows, 1, keepdims=True))
        return mean, self.shared(jnp.mean((rows - mean) ** 2, 1, keepdims=True))

    def shared(self, means: jax.Array) -> jax.Array:
        """Returns the means of what shares statistics, of the means over positions: [B, 1, C] -> [B or 1, 1, C].

        Positions are reduced before channels, which are contiguous: that is several times faster on a CPU than reducing
        both at once.
        """
        if self.over_batch:
            means = jnp.mean(means, 0, keepdims=True)
        if self.group_size == 1:
            return means
        of_groups = jnp.mean(means.reshape(*means.shape[:-1], -1, self.group_size), axis=-1)
        return jnp.repeat(of_groups, self.group_size, axis=-1)


_Normalized = tuple[jax.Array, jax.Array, jax.Array]  # the result, and the mean and the variance that it had
_Saved = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


@functools.partial(jax.jit, static_argnames="statistics")  # traced once per shape, not per layer
def _normalize(x: jax.Array, scale: jax.Array | None, bias: jax.Array | None, statistics: _Statistics) -> _Normalized:
    scale = jnp.ones(x.shape[-1]) if scale is None else scale
    bias = jnp.zeros(x.shape[-1]) if bias is None else bias
    y, mean, variance = _normalized(x, _per_sample(scale), _per_sample(bias), statistics)
    return y, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(variance)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _normalized(x: jax.Array, scale: jax.Array, bias: jax.Array, statistics: _Statistics) -> _Normalized:
    """Returns x [B, ..., C] normalized, with scale and bias [B or 1, 1, C]; mean and variance, [B or 1, 1, C].

    The gradients of x, scale and bias need the same two sums, which take one pass over x and the gradient of the
    result. Differentiated operation by operation, they would take three. Mean and variance have none.
    """
    return _forward(x, scale, bias, statistics)[0]


def _forward(x: jax.Array, scale: jax.Array, bias: jax.Array, statistics: _Statistics) -> tuple[_Normalized, _Saved]:
    x = _barrier_on_tpu(x)
    mean, variance = statistics.of(x)
    rate = jax.lax.rsqrt(variance + statistics.eps)
    y = (_rows(x) - mean) * (rate * scale) + bias
    return (y.reshape(x.shape).astype(x.dtype), mean, variance), (x, scale, mean, rate)


def _backward(statistics: _Statistics, saved: _Saved, gradients: _Normalized) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, scale, mean, rate = saved
    x, gradient = _barrier_on_tpu(x), _barrier_on_tpu(gradients[0])
    dy, standard = _rows(gradient), (_rows(x) - mean) * rate
    dscale, dbias = (jnp.sum(values, 1, keepdims=True) for values in (dy * standard, dy))
    # Neither a shift of x nor its scale changes the result: the gradient has no part along ones and none along x.
    of_x, of_ones = (statistics.shared(scale * total / dy.shape[1]) for total in (dscale, dbias))
    dx = rate * (scale * dy - of_ones - standard * of_x)
    if scale.shape[0] == 1:
        dscale, dbias = (jnp.sum(total, 0, keepdims=True) for total in (dscale, dbias))
    return dx.reshape(x.shape).astype(x.dtype), dscale, dbias


_normalized.defvjp(_forward, _backward)


def _barrier_on_tpu(x: jax.Array) -> jax.Array:
    """Returns x, on TPUs behind a barrier.

    For convolutions of few clips, XLA moves parts of the positions into the batch there, and keeps that order in all
    that follows. It would write the broadcast statistics to memory, in float32: a third of the traffic of a step.
    """
    return jax.lax.platform_dependent(x, tpu=jax.lax.optimization_barrier, default=lambda x: x)


def _rows(x: jax.Array) -> jax.Array:
    """[B, ..., C] -> [B, positions, C]."""
    return at_least_float32(x).reshape(x.shape[0], -1, x.shape[-1])


def _per_sample(parameter: jax.Array) -> jax.Array:
    """[C] or [B, C] -> [1 or B, 1, C]."""
    return at_least_float32(parameter).reshape(-1, 1, parameter.shape[-1])


class GroupNorm(nn.Module):
    """`normalize_groups` with a learned scale and bias per channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return normalize_groups(x, scale, bias)


class BatchNorm(nn.Module):
    """Normalizes each channel by the statistics of the batch (`train=True`) or by running statistics as in PyTorch.

    The batch is the global one: under `jit` over a mesh, the means run over all devices. The running statistics are in
    the collection `batch_stats` and move by `momentum` toward those of the batch (with its unbiased variance).

    Attributes:
      affine: whether a scale and a bias per channel are learned. Otherwise they may be given.
    """

    affine: bool = True
    eps: float = EPS
    momentum: float = 0.1

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, scale: jax.Array | None = None, bias: jax.Array | None = None
    ) -> jax.Array:
        """x [B, ..., C], scale and bias [B, C] -> [B, ..., C]."""
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        if self.affine:
            scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
            bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        if train:
            y, mean, variance = _normalize(x, scale, bias, _Statistics(over_batch=True, eps=self.eps))
            if not self.is_initializing():
                count = x.size // x.shape[-1]
                unbiased = variance * (count / max(count - 1, 1))
                running_mean.value += self.momentum * (mean.reshape(channels) - running_mean.value)
                running_var.value += self.momentum * (unbiased.reshape(channels) - running_var.value)
            return y
        y = (_rows(x) - running_mean.value) * jax.lax.rsqrt(running_var.value + self.eps)
        if scale is not None:
            y *= _per_sample(scale)
        if bias is not None:
            y += _per_sample(bias)
        return y.reshape(x.shape).astype(x.dtype)
