"""Batch normalization with running statistics as in PyTorch. Statistics are at least float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.layers import at_least_float32


class BatchNorm(nn.Module):
    """Normalizes each channel by the statistics of the batch (`train=True`) or by the running statistics.

    The batch is the global one: under `jit` over a mesh, the means run over all devices. The running statistics are in
    the collection `batch_stats` and move by `momentum` toward those of the batch (with its unbiased variance).
    """

    affine: bool = True
    eps: float = 1e-5
    momentum: float = 0.1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, ..., C] -> [B, ..., C]."""
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        wide = at_least_float32(x)
        mean, var = running_mean.value, running_var.value
        if train:
            axes = tuple(range(x.ndim - 1))
            mean = jnp.mean(wide, axes)
            var = jnp.mean((wide - mean) ** 2, axes)
            if not self.is_initializing():
                count = x.size // x.shape[-1]
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value += self.momentum * (mean - running_mean.value)
                running_var.value += self.momentum * (unbiased - running_var.value)
        scale = jax.lax.rsqrt(var + self.eps)
        if self.affine:
            scale = scale * self.param("scale", nn.initializers.ones, channels, jnp.float32)
        y = (wide - mean) * scale
        if self.affine:
            y = y + self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        return y.astype(x.dtype)
