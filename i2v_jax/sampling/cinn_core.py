"""The cINN as pure functions of variables and arrays (paper sections 3 and 4). Nothing is compiled or checked here.

Shapes: start frames x0 [N, H, W, 3], latents z and residuals nu [N, z], embeddings of x0 [N, e], controls eta [N, n].
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.flow import standard_normal_log_prob
from i2v_jax.sampling.generator import Chain
from i2v_jax.tasks.control import Control

CLIP_FRAMES = 16
Run = Callable[..., Any]  # (name of a method of `CinnNetworks`, *arrays) -> its result


@dataclasses.dataclass(frozen=True)
class CinnNetworks:
    """The trained networks; `variables` has those of each under the name of its field."""

    encoder: nn.Module  # VideoEncoder
    decoder: nn.Module  # VideoDecoder
    image_encoder: nn.Module | None  # ImageEncoder, whose mean is the embedding of x0
    flow: nn.Module | None  # ConditionalFlow; None for the ablation without it: z itself is standard normal

    def encode(self, variables: Any, clip: jax.Array) -> jax.Array:
        """Returns the posterior's mean of z of clips [N, 16, H, W, 3] without x0."""
        posterior: Any = self.encoder.apply(variables["encoder"], clip)
        return posterior.mean.astype(jnp.float32)

    def encode_sample(self, variables: Any, clip: jax.Array, noise: jax.Array) -> jax.Array:
        """Returns a sample of the posterior with standard normal noise [N, z]."""
        posterior: Any = self.encoder.apply(variables["encoder"], clip)
        return posterior.sample_with(noise).astype(jnp.float32)

    def embed(self, variables: Any, x0: jax.Array) -> jax.Array:
        """Returns the embedding of x0; of width 0 without an image encoder."""
        if self.image_encoder is None:
            return jnp.zeros((x0.shape[0], 0))
        posterior: Any = self.image_encoder.apply(variables["image_encoder"], x0)
        return posterior.mean.astype(jnp.float32)

    def forward(self, variables: Any, z: jax.Array, embedding: jax.Array, eta: jax.Array) -> jax.Array:
        """Returns nu = T(z; x0, eta)."""
        if self.flow is None:
            return z
        nu: Any = self.flow.apply(variables["flow"], z, _condition(embedding, eta))
        return nu[0].astype(jnp.float32)

    def inverse(self, variables: Any, nu: jax.Array, embedding: jax.Array, eta: jax.Array) -> jax.Array:
        """Returns z = T^-1(nu; x0, eta)."""
        if self.flow is None:
            return nu
        z: Any = self.flow.apply(variables["flow"], nu, _condition(embedding, eta), method="inverse")
        return z[0].astype(jnp.float32)

    def log_prob(self, variables: Any, z: jax.Array, embedding: jax.Array, eta: jax.Array) -> jax.Array:
        """Returns log p(z | x0, eta) [N] in nats."""
        return self._log_prob(variables, z, embedding, eta, exact=True)

    def release_log_prob(self, variables: Any, z: jax.Array, embedding: jax.Array, eta: jax.Array) -> jax.Array:
        """Returns `log_prob` without the activations' log-determinants."""
        return self._log_prob(variables, z, embedding, eta, exact=False)

    def decode(self, variables: Any, x0: jax.Array, z: jax.Array) -> jax.Array:
        """Videos [N, 16, H, W, 3]."""
        video: Any = self.decoder.apply(variables["decoder"], x0, z)
        return video.astype(jnp.float32)

    def _log_prob(self, variables: Any, z: jax.Array, embedding: jax.Array, eta: jax.Array, exact: bool) -> Any:
        if self.flow is None:
            return standard_normal_log_prob(z)
        return self.flow.apply(variables["flow"], z, _condition(embedding, eta), exact, method="log_prob")


def roll_out(
    run: Run,
    draw: Callable[[int], Any],
    start_frames: Any,
    eta: Any,
    *,
    num_samples: int,
    frames: int,
    chain: Chain = "same_z",
) -> Iterator[Any]:
    """Yields videos in parts [B * S, up to 16, H, W, 3], each of which starts from the last frame of the one before.

    Arrays are those of NumPy, or traced ones: only their own methods are used.

    Args:
        run: applies a method of `CinnNetworks`.
        draw: number of a part -> its nu [B * S, z].
        start_frames: [B, H, W, 3].
        eta: [B * S, n].
        num_samples: S.
        frames: of all parts together.
        chain: "same_z" decodes every part with the same z, "fresh" draws a new nu for each part.
    """
    embedding = run("embed", start_frames).repeat(num_samples, axis=0)
    x0 = start_frames.repeat(num_samples, axis=0)
    z = run("inverse", draw(0), embedding, eta)
    for part, first in enumerate(range(0, frames, CLIP_FRAMES)):
        if part and chain == "fresh":
            z = run("inverse", draw(part), run("embed", x0), eta)
        video = run("decode", x0, z)
        yield video[:, : frames - first]
        x0 = video[:, -1]


def draw_residuals(rng: jax.Array, part: Any, z_dim: int, example_ids: jax.Array, samples: jax.Array) -> jax.Array:
    """Draws nu [N, z] of part `part` of a chain, standard normal, one for each pair of example id and sample [N]."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1 + part), (z_dim,)))(
        _keys(rng, example_ids, samples)
    )


def draw_noise(rng: jax.Array, z_dim: int, example_ids: jax.Array) -> jax.Array:
    """Draws standard normal noise [N, z] of posterior samples, one for each example id [N]."""
    keys = _keys(rng, example_ids, jnp.zeros_like(example_ids))
    return jax.vmap(lambda key: jax.random.normal(key, (z_dim,)))(keys)


def draw_controls(rng: jax.Array, control: Control, example_ids: jax.Array, samples: jax.Array) -> jax.Array:
    """Draws eta [N, n], uniform, one for each pair of example id and sample [N]."""

    def draw(key: jax.Array) -> jax.Array:
        return control.random(jax.random.fold_in(key, 0), 1)[0]

    return jax.vmap(draw)(_keys(rng, example_ids, samples))


def _keys(rng: jax.Array, example_ids: jax.Array, samples: jax.Array) -> jax.Array:
    """Keys [N], each of which depends on `rng`, its example id and its sample alone."""
    fold = jax.random.fold_in
    return jax.vmap(lambda example, sample: fold(fold(rng, example), sample))(example_ids, samples)


def _condition(embedding: jax.Array, eta: jax.Array) -> jax.Array:
    return jnp.concatenate([embedding, eta], axis=-1)
