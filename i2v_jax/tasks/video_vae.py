"""Stage 1: the video cVAE-GAN (paper section 3.3, equations 8 and 9, and the supplement's objective)."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from ml_collections import ConfigDict

from i2v_jax.metrics.paired import psnr
from i2v_jax.models.initializers import init_together
from i2v_jax.models.layers import at_least_float32
from i2v_jax.models.posterior import Posterior
from i2v_jax.tasks.base import Batch, Metrics, Networks, Stream, Update
from i2v_jax.tasks.losses import adversarial_terms, drawn_rows, fold_time, hinge_discriminator
from i2v_jax.tasks.perceptual_loss import make_distance
from i2v_jax.tasks.scaling import drawn_frames, reference_batch


@struct.dataclass
class Outputs:
    """The outputs of encoder and decoder for a batch."""

    posterior: Posterior
    video: jax.Array  # [B, 16, H, W, 3] float32: the reconstruction of the frames after the start frame


@struct.dataclass
class Draws:
    """The part of a batch that the discriminators see in one step, the same of truth and reconstruction."""

    window_start: jax.Array  # [] int32: first frame of the temporal discriminator's window
    frame_indices: jax.Array  # [N] int32 into the B * 16 frames, for the patch discriminator


class VideoVAE:
    """q(z|X) and p(X|x0, z) with a discriminator of clips and one of frames, which are updated first."""

    forward_networks: tuple[str, ...] = ("encoder", "decoder")
    ema_networks: tuple[str, ...] = ("encoder", "decoder")
    best = "perceptual"
    preview_rows: tuple[str, ...] = ("truth", "reconstruction")

    def __init__(self, config: ConfigDict, modules: dict[str, Any], steps_per_epoch: int) -> None:
        """`config` is the whole configuration, `modules` are those of this stage (tasks.registry.build)."""
        stage = config.video_vae
        self.modules = modules
        self.stage, self.weights = stage, stage.loss
        self.distance, self.frozen = make_distance(
            stage.loss.perceptual_network, config.dtype, "video_vae.loss.perceptual_network"
        )
        start = math.ceil(stage.adversarial_epoch * steps_per_epoch)
        discriminators = ("temporal_discriminator", "patch_discriminator")
        self.updates: tuple[Update, ...] = (
            Update("pretraining", self.forward_networks, self.reconstruction_loss, last_step=start),
            Update("discriminators", discriminators, self.discriminators_loss, first_step=start),
            Update("generator", self.forward_networks, self.generator_loss, first_step=start),
        )

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        video = batch["video"][:1]
        z = jnp.zeros((1, self.modules["decoder"].z_dim))
        examples: dict[str, tuple[jax.Array, ...]] = {
            "encoder": (video[:, 1:],),
            "decoder": (video[:, 0], z),
            "temporal_discriminator": (video[:, 1 : 1 + self.weights.window],),
            "patch_discriminator": (video[:, 0],),
        }
        rngs = jax.random.split(rng, len(examples))
        return {
            name: init_together(self.modules[name], key, *example)
            for key, (name, example) in zip(rngs, examples.items(), strict=True)
        }

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        """Initializes the ActNorm of the patch discriminator on real frames."""
        if self.modules["patch_discriminator"].norm != "actnorm":
            return networks
        frames = fold_time(batch["video"][:, 1:])[self.draws(batch, rng).frame_indices]
        variables = networks["patch_discriminator"]
        _, changed = self.modules["patch_discriminator"].apply(variables, frames, data_init=True, mutable=["params"])
        return {**networks, "patch_discriminator": {**variables, **changed}}

    def draws(self, batch: Batch, rng: jax.Array) -> Draws:
        """Returns the part of a batch [B, T, H, W, 3] that discriminators see in the step of `rng`.

        It is a window of `loss.window` of the T - 1 frames, and some of all B * (T - 1) frames, drawn with replacement:
        `loss.spatial_frames` if B is the reference batch, in proportion otherwise.
        """
        clips, frames = batch["video"].shape[0], batch["video"].shape[1] - 1
        count = drawn_frames(self.weights.spatial_frames, clips, self.stage)
        window_rng, frame_rng = jax.random.split(jax.random.fold_in(rng, Stream.DISCRIMINATORS))
        return Draws(
            jax.random.randint(window_rng, (), 0, frames - self.weights.window + 1),
            jax.random.randint(frame_rng, (count,), 0, clips * frames),
        )

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[Outputs, Networks]:
        """Reconstructs from a posterior sample, with one power iteration of the decoder's spectral norms."""
        posterior = self.modules["encoder"].apply(networks["encoder"], batch["video"][:, 1:])
        z = posterior.sample(jax.random.fold_in(rng, Stream.FORWARD))
        video, changed = self.modules["decoder"].apply(
            networks["decoder"], batch["video"][:, 0], z, train=True, mutable=["spectral"]
        )
        return Outputs(posterior, at_least_float32(video)), {"decoder": changed}

    def reconstruction_loss(
        self, networks: Networks, outputs: Outputs, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns the evidence bound of equation 8 with a perceptual term."""
        target = batch["video"][:, 1:]
        l1 = jnp.mean(jnp.abs(outputs.video - target))
        perceptual = jnp.mean(self.distance(networks, fold_time(outputs.video), fold_time(target)))
        kl = jnp.mean(outputs.posterior.kl())
        weights = self.weights
        loss = weights.reconstruction * l1 + weights.perceptual * perceptual + weights.kl * kl
        return loss, ({}, {"loss": loss, "l1": l1, "perceptual": perceptual, "kl": kl})

    def generator_loss(
        self, networks: Networks, outputs: Outputs, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns the full objective of encoder and decoder."""
        loss, (_, metrics) = self.reconstruction_loss(networks, outputs, batch, rng)
        real, fake = self._windows(outputs, batch, rng)
        _, real_features = self._temporal(networks, real)
        temporal_logits, fake_features = self._temporal(networks, fake)
        patch_logits = self._patch(networks, self._frames(outputs.video, batch, rng))
        added, terms = adversarial_terms(self.weights, patch_logits, temporal_logits, real_features, fake_features)
        loss = loss + added
        return loss, ({}, {**metrics, "loss": loss, **terms})

    def discriminators_loss(
        self, networks: Networks, outputs: Outputs, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns hinge losses and the gradient penalty on real clips. Each does one power iteration."""
        outputs = jax.lax.stop_gradient(outputs)
        real, fake = self._windows(outputs, batch, rng)
        (temporal_fake, _), temporal_changed = self.modules["temporal_discriminator"].apply(
            networks["temporal_discriminator"], fake, train=True, mutable=["spectral"]
        )
        patch_fake, patch_changed = self.modules["patch_discriminator"].apply(
            networks["patch_discriminator"], self._frames(outputs.video, batch, rng), train=True, mutable=["spectral"]
        )
        changed = {"temporal_discriminator": temporal_changed, "patch_discriminator": patch_changed}
        networks = {**networks, **{name: {**networks[name], **changed[name]} for name in changed}}
        patch_real = self._patch(networks, self._frames(batch["video"][:, 1:], batch, rng))
        temporal_real, pullback = jax.vjp(lambda video: self._temporal(networks, video)[0], real)
        # The authors differentiate the mean over their batch, so that the penalty falls with the square of its size;
        # here it is that of the reference batch for any size.
        (gradient,) = pullback(jnp.full_like(temporal_real, 1 / reference_batch(self.stage)))
        penalty = jnp.mean(jnp.sum(jnp.square(at_least_float32(gradient)), axis=(1, 2, 3, 4)))
        spatial, temporal = (
            hinge_discriminator(patch_real, patch_fake),
            hinge_discriminator(temporal_real, temporal_fake),
        )
        loss = spatial + temporal + self.weights.gradient_penalty * penalty
        metrics = {
            "discriminator_spatial": spatial,
            "discriminator_temporal": temporal,
            "gradient_penalty": penalty,
            "logits_spatial_real": jnp.mean(patch_real),
            "logits_spatial_fake": jnp.mean(patch_fake),
            "logits_temporal_real": jnp.mean(temporal_real),
            "logits_temporal_fake": jnp.mean(temporal_fake),
        }
        return loss, (changed, metrics)

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        """Measures reconstructions from the posterior mean."""
        target = batch["video"][:, 1:]
        video, posterior = self._reconstruct(networks, batch)
        distance = self.distance(networks, fold_time(video), fold_time(target))
        return {
            "l1": jnp.mean(jnp.abs(video - target), axis=(1, 2, 3, 4)),
            "psnr": psnr(video, target),
            "perceptual": jnp.mean(distance.reshape(target.shape[:2]), axis=1),
            "kl": posterior.kl(),
        }

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        video, _ = self._reconstruct(networks, batch)
        return batch["video"], jnp.concatenate([batch["video"][:, :1], video], axis=1)

    def _reconstruct(self, networks: Networks, batch: Batch) -> tuple[jax.Array, Posterior]:
        posterior = self.modules["encoder"].apply(networks["encoder"], batch["video"][:, 1:])
        video = self.modules["decoder"].apply(networks["decoder"], batch["video"][:, 0], posterior.mean)
        return at_least_float32(video), posterior

    def _windows(self, outputs: Outputs, batch: Batch, rng: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns (real, fake) windows [B, window, H, W, 3]."""
        start = self.draws(batch, rng).window_start

        def window(video: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(video, start, self.weights.window, axis=1)

        return window(batch["video"][:, 1:]), window(outputs.video)

    def _frames(self, video: jax.Array, batch: Batch, rng: jax.Array) -> jax.Array:
        return drawn_rows(fold_time(video), self.draws(batch, rng).frame_indices)

    def _temporal(self, networks: Networks, video: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        return self.modules["temporal_discriminator"].apply(networks["temporal_discriminator"], video)

    def _patch(self, networks: Networks, frames: jax.Array) -> Any:
        return self.modules["patch_discriminator"].apply(networks["patch_discriminator"], frames)
