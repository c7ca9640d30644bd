"""Networks so simple that the generator's results can be worked out by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.posterior import Posterior
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CLIP_FRAMES, CinnNetworks
from i2v_jax.tasks import control as controls

SIZE = 4


class MeanChange(nn.Module):
    """z = (mean brightness of the first frame, of the last frame)."""

    def __call__(self, video: jax.Array) -> Posterior:
        mean = jnp.stack([video[:, 0].mean(axis=(1, 2, 3)), video[:, -1].mean(axis=(1, 2, 3))], axis=-1)
        return Posterior(mean, jnp.zeros_like(mean))


class Brighten(nn.Module):
    """Frame t is x0 + (t + 1) z[0] + z[1] / 1000."""

    def __call__(self, start_frame: jax.Array, z: jax.Array) -> jax.Array:
        steps = z[:, :1] * jnp.arange(1, CLIP_FRAMES + 1) + z[:, 1:] / 1000
        return start_frame[:, None] + steps[:, :, None, None, None]


class MeanBrightness(nn.Module):
    """The embedding is the mean of the frame."""

    def __call__(self, images: jax.Array) -> Posterior:
        mean = images.mean(axis=(1, 2, 3))[:, None]
        return Posterior(mean, jnp.zeros_like(mean))


class Shift(nn.Module):
    """nu = z - (embedding + index of the control's one-hot, if there is one)."""

    def _shift(self, condition: jax.Array) -> jax.Array:
        return condition[:, :1] + condition[:, 1:] @ jnp.arange(condition.shape[1] - 1.0)[:, None]

    def __call__(self, z: jax.Array, condition: jax.Array) -> tuple[jax.Array, jax.Array]:
        return z - self._shift(condition), jnp.zeros(len(z))

    def inverse(self, residual: jax.Array, condition: jax.Array) -> tuple[jax.Array, jax.Array]:
        return residual + self._shift(condition), jnp.zeros(len(residual))


def generator(control: str = "none", chunk: int = 4) -> CinnGenerator:
    """z and nu have two entries, frames are 4x4."""
    variables: dict[str, dict[str, object]] = {"encoder": {}, "decoder": {}, "image_encoder": {}, "flow": {}}
    networks = CinnNetworks(MeanChange(), Brighten(), MeanBrightness(), Shift())
    return CinnGenerator(networks, variables, size=SIZE, z_dim=2, control=controls.get(control), chunk=chunk)
