"""The poke model: an image reacts to the displacement of one of its pixels (poke paper, section 3)."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from ml_collections import ConfigDict

from i2v_jax.metrics.paired import psnr
from i2v_jax.models.initializers import init_together
from i2v_jax.models.layers import at_least_float32
from i2v_jax.models.poke_model import PokeModel, States
from i2v_jax.tasks.base import Batch, Metrics, Networks, Stream, Update
from i2v_jax.tasks.losses import adversarial_terms, cut, drawn_rows, fold_time, hinge_discriminator
from i2v_jax.tasks.perceptual_loss import make_distance
from i2v_jax.tasks.scaling import drawn_frames, scaled_step

MODEL = ("object_encoder", "poke_encoder", "dynamics", "decoder")
DISCRIMINATORS = ("temporal_discriminator", "patch_discriminator")


@struct.dataclass
class Response:
    """The model's answer to start frames and pokes."""

    states: States  # [B, T, h, w, C] each, the deepest first
    video: jax.Array  # [B, T, H, W, 3] float32


@struct.dataclass
class Draws:
    """The frames that the discriminators see in one step."""

    real: jax.Array  # [N] int32 into the B * T frames: for the patch discriminator, drawn independently
    fake: jax.Array  # [N] int32
    window: jax.Array  # [] int32: the first frame for the temporal discriminator


class Poke:
    """Trains an autoencoder of single frames and the dynamics between their states in turns, later with discriminators.

    A batch holds "video" [B, 1 + T, H, W, 3] in [-1, 1], "poke" [B, H, W, 2] in pixels and "is_background" [B] bool.
    Where `is_background` is true nothing may move: the target is the start frame, repeated. With "patch" [B, 4] int32
    the dynamic losses but L_traj, and the discriminators, see this rectangle of each clip only.
    """

    forward_networks: tuple[str, ...] = ()
    ema_networks: tuple[str, ...] = MODEL
    best = "perceptual"
    preview_rows: tuple[str, ...] = ("truth", "response")

    def __init__(self, config: ConfigDict, modules: dict[str, Any], steps_per_epoch: int) -> None:
        """`config` is the whole configuration, `modules` are those of this stage (tasks.registry.build)."""
        stage = config.poke
        self.modules = modules
        self.model = PokeModel(**{name: modules[name] for name in MODEL})
        self.stage, self.weights = stage, stage.loss
        self.distance, self.frozen = make_distance(
            stage.loss.perceptual_network, config.dtype, "poke.loss.perceptual_network"
        )
        start = scaled_step(stage.adversarial_step, stage)
        constant = () if stage.static_decoder_decays else ("decoder",)
        static = Update(
            "static",
            ("object_encoder", "decoder"),
            self.static_loss,
            last_step=stage.static_epochs * steps_per_epoch or math.inf,
            optimizer="static",
            constant_rate=constant,
        )
        trained = MODEL if stage.single_stage else MODEL[1:]
        self.updates: tuple[Update, ...] = (
            *(() if stage.single_stage else (static,)),
            Update("dynamic", trained, self.dynamic_loss, last_step=start, optimizer="dynamic"),
            Update("dynamic_adversarial", trained, self.adversarial_loss, first_step=start, optimizer="dynamic"),
            Update("discriminators", DISCRIMINATORS, self.discriminators_loss, first_step=start),
        )

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        video, poke = batch["video"][:1], batch["poke"][:1]
        model_rng, temporal_rng, patch_rng = jax.random.split(rng, 3)
        params = init_together(self.model, model_rng, video[:, 0], poke)["params"]
        return {
            **{name: {"params": params[name]} for name in MODEL},
            "temporal_discriminator": init_together(self.modules["temporal_discriminator"], temporal_rng, video[:, 1:]),
            "patch_discriminator": init_together(self.modules["patch_discriminator"], patch_rng, video[:, 0]),
        }

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        return networks

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[tuple[()], Networks]:
        """Computes nothing: the static update changes the networks before the dynamic one uses them."""
        return (), {}

    def target(self, batch: Batch) -> jax.Array:
        """Returns the frames [B, T, H, W, 3] that should follow the start frame."""
        video = batch["video"]
        return jnp.where(batch["is_background"][:, None, None, None, None], video[:, :1], video[:, 1:])

    def respond(self, networks: Networks, batch: Batch) -> Response:
        """Returns the roll-out over the clip's length."""
        frames = batch["video"].shape[1] - 1

        def run(model: PokeModel) -> Response:
            start_frame = batch["video"][:, 0]
            states = model.predict(model.encode(start_frame), model.encode_poke(batch["poke"]), frames)
            return Response(states, model.decode(states, start_frame))

        return self._apply(networks, run)

    def static_loss(
        self, networks: Networks, outputs: Any, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns the reconstruction error of the start frame from its states, the space of the dynamics."""
        image = batch["video"][:, 0]
        reconstruction = self._apply(networks, lambda model: model.decode(model.encode(image)))
        loss = jnp.mean(self.distance(networks, reconstruction, image))
        return loss, ({}, {"static": loss})

    def dynamic_loss(
        self, networks: Networks, outputs: Any, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns L_rec of the roll-out's frames and L_traj of its states, compared with those of the true frames."""
        loss, metrics = self._dynamic_terms(networks, self.respond(networks, batch), batch)
        return loss, ({}, metrics)

    def _seen(self, video: jax.Array, batch: Batch) -> jax.Array:
        """Returns what the losses see of clips [B, T, H, W, 3]: with a "patch" [B, 4] that part of them, enlarged."""
        return cut(video, batch["patch"]) if "patch" in batch else video

    def _dynamic_terms(self, networks: Networks, response: Response, batch: Batch) -> tuple[jax.Array, Metrics]:
        target = self.target(batch)
        seen = (fold_time(self._seen(video, batch)) for video in (response.video, target))
        perceptual = jnp.mean(self.distance(networks, *seen))
        true_states = jax.lax.stop_gradient(self._apply(networks, lambda model: model.encode(fold_time(target))))
        errors = [
            jnp.mean(jnp.square(at_least_float32(fold_time(predicted)) - at_least_float32(true)))
            for predicted, true in zip(response.states, true_states, strict=True)
        ]
        latent = jnp.mean(jnp.stack(errors))
        loss = self.weights.perceptual * perceptual + self.weights.latent * latent
        return loss, {"loss": loss, "perceptual": perceptual, "latent": latent}

    def adversarial_loss(
        self, networks: Networks, outputs: Any, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Adds the terms of both discriminators and the feature matching of the temporal one."""
        response, draws = self.respond(networks, batch), self.draws(batch, rng)
        loss, metrics = self._dynamic_terms(networks, response, batch)
        fake, target = self._seen(response.video, batch), self._seen(self.target(batch), batch)
        discriminator, variables = self.modules["temporal_discriminator"], networks["temporal_discriminator"]
        _, real_features = discriminator.apply(variables, self._windowed(target, draws))
        temporal_logits, fake_features = discriminator.apply(variables, self._windowed(fake, draws))
        frames = drawn_rows(fold_time(fake), draws.fake)
        patch_logits = self.modules["patch_discriminator"].apply(networks["patch_discriminator"], frames)
        added, terms = adversarial_terms(self.weights, patch_logits, temporal_logits, real_features, fake_features)
        loss = loss + added
        return loss, ({}, {**metrics, "loss": loss, **terms})

    def discriminators_loss(
        self, networks: Networks, outputs: Any, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        """Returns hinge losses, not halved, and gradient penalties on real inputs. Each does one power iteration."""
        draws, real = self.draws(batch, rng), self._seen(self.target(batch), batch)
        fake = jax.lax.stop_gradient(self._seen(self.respond(networks, batch).video, batch))
        weights = self.weights
        temporal, temporal_changed, temporal_terms = self._discriminator_loss(
            networks, "temporal", self._windowed(real, draws), self._windowed(fake, draws), weights.temporal_penalty
        )
        spatial, spatial_changed, spatial_terms = self._discriminator_loss(
            networks,
            "patch",
            drawn_rows(fold_time(real), draws.real),
            drawn_rows(fold_time(fake), draws.fake),
            weights.spatial_penalty,
        )
        return temporal + spatial, ({**temporal_changed, **spatial_changed}, {**temporal_terms, **spatial_terms})

    def _discriminator_loss(
        self, networks: Networks, kind: str, real: jax.Array, fake: jax.Array, penalty_weight: float
    ) -> tuple[jax.Array, Networks, Metrics]:
        name = f"{kind}_discriminator"
        module = self.modules[name]
        output, changed = module.apply(networks[name], fake, train=True, mutable=["spectral"])
        fake_logits, variables = _logits(output), {**networks[name], **changed}
        real_logits, pullback = jax.vjp(lambda inputs: _logits(module.apply(variables, inputs)), real)
        (gradient,) = pullback(jnp.ones_like(real_logits))
        penalty = jnp.sum(jnp.square(at_least_float32(gradient))) / real.shape[0]
        hinge = 2 * hinge_discriminator(real_logits, fake_logits)
        metrics = {
            f"discriminator_{kind}": hinge,
            f"gradient_penalty_{kind}": penalty,
            f"logits_{kind}_real": jnp.mean(real_logits),
            f"logits_{kind}_fake": jnp.mean(fake_logits),
        }
        return hinge + penalty_weight * penalty, {name: changed}, metrics

    def draws(self, batch: Batch, rng: jax.Array) -> Draws:
        clips, frames = batch["video"].shape[0], batch["video"].shape[1] - 1
        shape = (2, drawn_frames(self.weights.spatial_frames, clips, self.stage))
        key = jax.random.fold_in(rng, Stream.DISCRIMINATORS)
        spatial = jax.random.randint(key, shape, 0, clips * frames)
        starts = max(1, frames - self.weights.window + 1) if self.weights.window else 1
        return Draws(spatial[0], spatial[1], jax.random.randint(jax.random.fold_in(key, 1), (), 0, starts))

    def _windowed(self, video: jax.Array, draws: Draws) -> jax.Array:
        """Returns the frames of clips [B, T, H, W, 3] that the temporal discriminator sees."""
        window = self.weights.window
        if not 0 < window < video.shape[1]:
            return video
        return jax.lax.dynamic_slice_in_dim(video, draws.window, window, axis=1)

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        video, target = self.respond(networks, batch).video, self.target(batch)
        distance = self.distance(networks, fold_time(video), fold_time(target))
        return {
            "l1": jnp.mean(jnp.abs(video - target), axis=(1, 2, 3, 4)),
            "psnr": psnr(target, video),
            "perceptual": jnp.mean(distance.reshape(target.shape[:2]), axis=1),
        }

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        start_frame = batch["video"][:, :1]
        clips = (self.target(batch), self.respond(networks, batch).video)
        return tuple(jnp.concatenate([start_frame, clip], axis=1) for clip in clips)

    def _apply(self, networks: Networks, function: Callable[[PokeModel], Any]) -> Any:
        params = {name: networks[name]["params"] for name in MODEL}
        return self.model.apply({"params": params}, method=function)


def _logits(output: Any) -> jax.Array:
    """Returns the logits of a discriminator, which may also return features."""
    return output[0] if isinstance(output, tuple) else output
