"""Stage 3: the conditional flow between the video latent and the residual (paper section 3.1, equations 4 and 5)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from ml_collections import ConfigDict

from i2v_jax.models.flow import bits_per_dimension, standard_normal_log_prob
from i2v_jax.models.layers import at_least_float32
from i2v_jax.models.posterior import Posterior
from i2v_jax.tasks import control
from i2v_jax.tasks.base import Batch, Metrics, Networks, Stream, Update


@struct.dataclass
class Encoded:
    """Clips as the frozen encoders see them, all that the flow needs."""

    mean: jax.Array  # [B, z] of the video posterior
    logvar: jax.Array  # [B, z]
    embedding: jax.Array  # [B, e] posterior mean of the start frame


class Flow:
    """T(z; x0, eta), where z is a posterior sample of the frozen video encoder."""

    forward_networks: tuple[str, ...] = ()
    ema_networks: tuple[str, ...] = ("flow",)
    best = "nll"
    preview_rows: tuple[str, ...] = ("truth", "sample 1", "sample 2", "sample 3")

    def __init__(
        self,
        config: ConfigDict,
        modules: dict[str, Any],
        frozen_modules: dict[str, Any],
        frozen: Networks,
    ) -> None:
        """`frozen_modules` and `frozen` hold "video_encoder", "video_decoder" and "image_encoder" of earlier stages."""
        self.modules = modules
        self.frozen_modules = frozen_modules
        self.frozen = frozen
        self.control, self.size = control.get(config.control), config.data.size
        self.kept_arrays = self.control.arrays  # arrays of a batch, in addition to its clips
        self.updates: tuple[Update, ...] = (Update("likelihood", ("flow",), self.loss),)

    def encode(self, networks: Networks, batch: Batch) -> Encoded:
        """Returns posterior and embedding of the batch's clips, or those that the batch has instead of clips."""
        if "mean" in batch:
            return Encoded(batch["mean"], batch["logvar"], batch["embedding"])
        video = batch["video"]
        posterior = self.frozen_modules["video_encoder"].apply(networks["video_encoder"], video[:, 1:])
        embedding = self.frozen_modules["image_encoder"].apply(networks["image_encoder"], video[:, 0])
        return Encoded(posterior.mean, posterior.logvar, embedding.mean)

    def condition(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """Returns the embedding followed by the control, [B, c]."""
        return jnp.concatenate([encoded.embedding, self.control.from_batch(batch, self.size)], axis=-1)

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        shapes = jax.eval_shape(self.encode, self.frozen, batch)
        encoded = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return {"flow": self.modules["flow"].draw(rng, encoded.mean, self.condition(encoded, batch))}

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        """Initializes the ActNorm of every block."""
        encoded, _ = self.forward(networks, batch, rng)
        z, condition = self._sample(encoded, rng), self.condition(encoded, batch)
        _, changed = self.modules["flow"].apply(networks["flow"], z, condition, data_init=True, mutable=["params"])
        return {**networks, "flow": {**networks["flow"], **changed}}

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[Encoded, Networks]:
        return self.encode(networks, batch), {}

    def loss(
        self, networks: Networks, outputs: Encoded, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns mean(0.5 |residual|^2) - mean(log_det), the negative log-likelihood without its constant (eq. 5)."""
        z = self._sample(outputs, rng)
        residual, log_det = self.modules["flow"].apply(networks["flow"], z, self.condition(outputs, batch))
        energy, volume = jnp.mean(0.5 * jnp.sum(residual**2, axis=-1)), jnp.mean(log_det)
        loss = energy - volume
        return loss, ({}, {"loss": loss, "energy": energy, "log_det": volume})

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        """Measures the exact negative log-likelihood, and that of a standard normal in place of the flow."""
        encoded = self.encode(networks, batch)
        z, condition = self._sample(encoded, rng), self.condition(encoded, batch)
        log_prob = self.modules["flow"].apply(networks["flow"], z, condition, method="log_prob")
        reference = standard_normal_log_prob(z)
        dimensions = z.shape[-1]
        return {
            "nll": -log_prob,  # nats per clip
            "bits_per_dimension": bits_per_dimension(log_prob, dimensions),
            "nll_standard_normal": -reference,
            "bits_per_dimension_standard_normal": bits_per_dimension(reference, dimensions),
        }

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        """Returns the truth and three samples."""
        encoded = self.encode(networks, batch)
        condition, start = self.condition(encoded, batch), batch["video"][:, 0]
        rows = [batch["video"]]
        for index in range(len(self.preview_rows) - 1):
            residual = jax.random.normal(jax.random.fold_in(rng, index), encoded.mean.shape)
            z, _ = self.modules["flow"].apply(networks["flow"], residual, condition, method="inverse")
            video = self.frozen_modules["video_decoder"].apply(networks["video_decoder"], start, z)
            rows.append(jnp.concatenate([start[:, None], at_least_float32(video)], axis=1))
        return tuple(rows)

    @staticmethod
    def _sample(encoded: Encoded, rng: jax.Array) -> jax.Array:
        return Posterior(encoded.mean, encoded.logvar).sample(jax.random.fold_in(rng, Stream.FORWARD))
