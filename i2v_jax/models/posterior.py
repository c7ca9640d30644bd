"""The diagonal Gaussian that both encoders predict."""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Posterior:
    """q(z|X) = N(mean, diag(exp(logvar)))."""

    mean: jax.Array  # [B, z]
    logvar: jax.Array  # [B, z]

    def sample(self, rng: jax.Array) -> jax.Array:
        """Returns one sample per row: [B, z]."""
        return self.sample_with(jax.random.normal(rng, self.mean.shape, self.mean.dtype))

    def sample_with(self, noise: jax.Array) -> jax.Array:
        """Returns the reparameterized sample for standard normal `noise` [B, z]."""
        return self.mean + noise * jnp.exp(self.logvar / 2)

    def kl(self) -> jax.Array:
        """Returns KL(q || N(0, 1)) in nats, summed over z: [B]."""
        return 0.5 * jnp.sum(self.mean**2 + jnp.exp(self.logvar) - 1 - self.logvar, axis=-1)
