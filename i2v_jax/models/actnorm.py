"""Activation normalization: a per-channel affine map initialized from its first batch (Kingma and Dhariwal 2018)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.layers import at_least_float32


class ActNorm(nn.Module):
    """y = scale * (x + loc), in float32; `bijectors.ActNorm` is its invertible form with the log-determinant.

    With `data_init=True` (and `mutable=["params"]`) the parameters are first set so that y has mean 0 and standard
    deviation 1 over all axes but the channels.
    """

    features: int

    def setup(self) -> None:
        self.loc = self.param("loc", nn.initializers.zeros, (self.features,), jnp.float32)
        self.scale = self.param("scale", nn.initializers.ones, (self.features,), jnp.float32)

    def __call__(self, x: jax.Array, data_init: bool = False) -> jax.Array:
        """[B, ..., C] -> [B, ..., C]."""
        loc, scale = self._parameters(x, data_init)
        return scale * (x + loc)

    def _parameters(self, x: jax.Array, data_init: bool) -> tuple[jax.Array, jax.Array]:
        if not data_init:
            return self.loc, self.scale
        flat = at_least_float32(x).reshape(-1, self.features)
        loc = -jnp.mean(flat, axis=0)
        scale = 1 / (jnp.std(flat, axis=0, ddof=1) + 1e-6)
        self.put_variable("params", "loc", loc)
        self.put_variable("params", "scale", scale)
        return loc, scale
