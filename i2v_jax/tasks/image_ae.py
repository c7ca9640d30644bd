"""Stage 2: the image autoencoder whose encoder embeds the start frame (paper's supplement, Rombach et al. 2020)."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from ml_collections import ConfigDict

from i2v_jax.metrics.paired import psnr
from i2v_jax.models import biggan
from i2v_jax.models.initializers import init_together
from i2v_jax.models.posterior import Posterior
from i2v_jax.tasks.base import Batch, Metrics, Networks, Stream, Update
from i2v_jax.tasks.losses import hinge_discriminator
from i2v_jax.tasks.perceptual_loss import make_distance

_LARGEST_WEIGHT = 1e4


@struct.dataclass
class Outputs:
    """What encoder and decoder make of a batch of images."""

    posterior: Posterior
    features: jax.Array  # [B, H, W, C]: input of the decoder's last convolution
    images: jax.Array  # [B, H, W, 3] float32: the reconstruction


class ImageAE:
    """A variational autoencoder of single frames with a patch discriminator that starts late."""

    forward_networks: tuple[str, ...] = ("encoder", "decoder")
    ema_networks: tuple[str, ...] = ("encoder", "decoder")
    best = "reconstruction"
    preview_rows: tuple[str, ...] = ("truth", "reconstruction")

    def __init__(self, config: ConfigDict, modules: dict[str, Any], steps_per_epoch: int) -> None:
        """`config` is the whole configuration, `modules` are those of this stage (tasks.registry.build)."""
        stage = config.image_ae
        self.modules = modules
        self.weights = stage.loss
        self.distance, self.frozen = make_distance(
            stage.loss.perceptual_network, config.dtype, "image_ae.loss.perceptual_network"
        )
        start = math.ceil(stage.adversarial_epoch * steps_per_epoch)
        monitor, networks = "reconstruction", self.forward_networks
        self.updates: tuple[Update, ...] = (
            Update("pretraining", networks, self.reconstruction_loss, last_step=start, monitor=monitor),
            Update("generator", networks, self.generator_loss, first_step=start, monitor=monitor),
            # One rate for all, as in the release: the discriminator's falls with the reconstruction, too.
            Update(
                "discriminator", ("patch_discriminator",), self.discriminator_loss, first_step=start, monitor=monitor
            ),
        )

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        images, code = batch["video"][:1, 0], jnp.zeros((1, self.modules["encoder"].z_dim))
        examples = {"encoder": images, "decoder": code, "patch_discriminator": images}
        rngs = jax.random.split(rng, len(examples))
        variables = {
            name: init_together(self.modules[name], key, example)
            for key, (name, example) in zip(rngs, examples.items(), strict=True)
        }
        variables["decoder"].pop("intermediates", None)
        return variables

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        """Initializes the ActNorm of the patch discriminator on real frames."""
        variables = networks["patch_discriminator"]
        _, changed = self.modules["patch_discriminator"].apply(
            variables, batch["video"][:, 0], data_init=True, mutable=["params"]
        )
        return {**networks, "patch_discriminator": {**variables, **changed}}

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[Outputs, Networks]:
        """Reconstructs from a posterior sample; batch norms use the statistics of the batch."""
        posterior, encoder_changed = self.modules["encoder"].apply(
            networks["encoder"], batch["video"][:, 0], train=True, mutable=["batch_stats"]
        )
        code = posterior.sample(jax.random.fold_in(rng, Stream.FORWARD))
        images, decoder_changed = self.modules["decoder"].apply(
            networks["decoder"], code, train=True, mutable=["batch_stats", "intermediates"]
        )
        features = decoder_changed.pop("intermediates")["generator"]["features"][0]
        return Outputs(posterior, features, images), {"encoder": encoder_changed, "decoder": decoder_changed}

    def reconstruction_loss(
        self, networks: Networks, outputs: Outputs, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns the sum over pixels of |x - x'| + perceptual distance, plus the KL term."""
        reconstruction, distance = self._reconstruction(networks, outputs.images, batch)
        kl = jnp.mean(outputs.posterior.kl())
        loss = reconstruction + self.weights.kl * kl
        l1 = jnp.mean(jnp.abs(outputs.images - batch["video"][:, 0]))
        metrics = {"loss": loss, "reconstruction": reconstruction, "l1": l1, "perceptual": distance, "kl": kl}
        return loss, ({}, metrics)

    def generator_loss(
        self, networks: Networks, outputs: Outputs, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Adds the adversarial term, weighted to have as large a gradient at the last layer as the rest."""
        loss, (_, metrics) = self.reconstruction_loss(networks, outputs, batch, rng)
        adversarial = -jnp.mean(self._discriminate(networks, outputs.images))
        weight = self.adaptive_weight(networks, outputs, batch)
        loss = loss + self.weights.adversarial * weight * adversarial
        return loss, ({}, {**metrics, "loss": loss, "generator": adversarial, "adaptive_weight": weight})

    def adaptive_weight(self, networks: Networks, outputs: Outputs, batch: Batch) -> jax.Array:
        """Returns |gradient of the reconstruction| / (|gradient of the adversarial term| + 1e-4), a scalar in [0, 1e4].

        The gradients are with respect to the kernel of the decoder's last convolution (Esser et al. 2021, equation 7).
        """
        decoder = networks["decoder"]
        last = {name: tree["generator"]["output"] for name, tree in decoder.items() if "output" in tree["generator"]}
        layer: Any = biggan.output_layer(self.modules["decoder"].dtype)
        features = jax.lax.stop_gradient(outputs.features)

        def images(kernel: jax.Array) -> jax.Array:
            return biggan.to_image(layer.apply({**last, "params": {**last["params"], "kernel": kernel}}, features))

        kernel = last["params"]["kernel"]
        of_reconstruction = jax.grad(lambda k: self._reconstruction(networks, images(k), batch)[0])(kernel)
        of_adversarial = jax.grad(lambda k: -jnp.mean(self._discriminate(networks, images(k))))(kernel)
        ratio = jnp.linalg.norm(of_reconstruction) / (jnp.linalg.norm(of_adversarial) + 1e-4)
        return jax.lax.stop_gradient(jnp.clip(ratio, 0, _LARGEST_WEIGHT))

    def discriminator_loss(
        self, networks: Networks, outputs: Outputs, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns the hinge loss of real and reconstructed images. The discriminator does one power iteration."""
        images = jax.lax.stop_gradient(outputs.images)
        both = jnp.concatenate([batch["video"][:, 0], images])
        logits, changed = self.modules["patch_discriminator"].apply(
            networks["patch_discriminator"], both, train=True, mutable=["spectral"]
        )
        real, fake = jnp.split(logits, 2)
        loss = hinge_discriminator(real, fake)
        metrics = {"discriminator": loss, "logits_real": jnp.mean(real), "logits_fake": jnp.mean(fake)}
        return loss, ({"patch_discriminator": changed}, metrics)

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        """Measures reconstructions from the posterior mean."""
        images = batch["video"][:, 0]
        reconstruction, posterior = self._reconstruct(networks, batch)
        distance = self.distance(networks, reconstruction, images)
        difference = jnp.abs(reconstruction - images)
        return {
            "reconstruction": self._per_image(difference, distance),
            "l1": jnp.mean(difference, axis=(1, 2, 3)),
            "psnr": psnr(reconstruction[:, None], images[:, None]),
            "perceptual": distance,
            "kl": posterior.kl(),
        }

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        return batch["video"], self._reconstruct(networks, batch)[0][:, None]

    def _reconstruct(self, networks: Networks, batch: Batch) -> tuple[jax.Array, Posterior]:
        posterior = self.modules["encoder"].apply(networks["encoder"], batch["video"][:, 0])
        return self.modules["decoder"].apply(networks["decoder"], posterior.mean), posterior

    def _reconstruction(self, networks: Networks, images: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Returns (mean over images of `_per_image`, mean distance)."""
        target = batch["video"][:, 0]
        distance = self.distance(networks, images, target)
        return jnp.mean(self._per_image(jnp.abs(images - target), distance)), jnp.mean(distance)

    def _per_image(self, difference: jax.Array, distance: jax.Array) -> jax.Array:
        """Returns [B]: the sum over pixels and channels of |x - x'| [B, H, W, 3] plus the weighted distance [B]."""
        return jnp.sum(difference + self.weights.perceptual * distance[:, None, None, None], axis=(1, 2, 3))

    def _discriminate(self, networks: Networks, images: jax.Array) -> Any:
        return self.modules["patch_discriminator"].apply(networks["patch_discriminator"], images)
