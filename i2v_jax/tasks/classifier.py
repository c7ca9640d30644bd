"""The dynamic-texture classifier whose features DTFVD compares (paper, supplement C.1): I3D with cross-entropy."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from i2v_jax.models.initializers import init_together
from i2v_jax.tasks.base import Batch, Metrics, Networks, Stream, Update


class Classifier:
    """Predicts the class of clips [B, T, H, W, 3], the label "class" of the batch."""

    forward_networks: tuple[str, ...] = ("classifier",)
    ema_networks: tuple[str, ...] = ("classifier",)
    best = "cross_entropy"
    preview_rows: tuple[str, ...] = ("clips",)

    def __init__(self, config: ConfigDict, modules: dict[str, Any]) -> None:
        """`config` is the whole configuration, `modules` are those of this stage (tasks.registry.build)."""
        self.classes = config.classifier.network.classes
        self.modules = modules
        self.frozen: Networks = {}
        self.updates: tuple[Update, ...] = (
            Update("classification", ("classifier",), self.loss, monitor="cross_entropy"),
        )

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        return {"classifier": init_together(self.modules["classifier"], rng, batch["video"][:1])}

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        return networks

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, Networks]:
        """Returns logits [B, classes], with the statistics of the batch and with dropout."""
        features, changed = self.modules["classifier"].apply(
            networks["classifier"],
            batch["video"],
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.fold_in(rng, Stream.FORWARD)},
        )
        return features.logits, {"classifier": changed}

    def loss(
        self, networks: Networks, outputs: jax.Array, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns the mean cross-entropy, in nats."""
        losses, correct = self._scores(outputs, batch)
        loss = jnp.mean(losses)
        return loss, ({}, {"loss": loss, "cross_entropy": loss, "accuracy": jnp.mean(correct)})

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        """Measures with the running statistics; "confusion" is [B, true class, predicted class]."""
        logits = self._logits(networks, batch)
        losses, correct = self._scores(logits, batch)
        truth, predicted = (jax.nn.one_hot(labels, self.classes) for labels in (batch["class"], jnp.argmax(logits, -1)))
        return {"cross_entropy": losses, "accuracy": correct, "confusion": truth[:, :, None] * predicted[:, None]}

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        return (batch["video"],)

    def _logits(self, networks: Networks, batch: Batch) -> jax.Array:
        features: Any = self.modules["classifier"].apply(networks["classifier"], batch["video"])
        return features.logits

    @staticmethod
    def _scores(logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Returns the cross-entropy, and 1 where the largest logit is the true class; both [B] float32."""
        labels = batch["class"]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses, (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
