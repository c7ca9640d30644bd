"""A small task to test the loop: a linear map learns the mean color of the next frame."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax import files
from i2v_jax.configs import common
from i2v_jax.data.registry import open_split
from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.tasks.base import Update
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.loop import Trainer
from i2v_jax.training.stage_run import StageRun


class MeanColor:
    """Predicts the mean color of frame 1 from frame 0, with noise that depends on the step's random numbers."""

    forward_networks = ("predictor",)
    ema_networks = ("predictor",)
    best = "error"
    preview_rows = ("truth",)
    frozen: dict = {}  # noqa: RUF012

    def __init__(self, not_a_number_at=None):
        self.modules = {"predictor": nn.Dense(3), "scale": nn.Dense(1)}
        self.updates = (
            Update("predict", ("predictor",), self.loss, monitor="error"),
            Update("late", ("scale",), self.late_loss, first_step=2, every=2),
        )
        self.not_a_number_at = not_a_number_at

    def init_variables(self, rng, batch):
        frame = batch["video"][:, 0].reshape(len(batch["video"]), -1)
        return {
            "predictor": self.modules["predictor"].init(rng, frame),
            "scale": self.modules["scale"].init(rng, jnp.ones((1, 3))),
        }

    def data_init(self, networks, batch, rng):
        mean = jnp.mean(batch["video"][:, 1], axis=(0, 1, 2))
        kernel = networks["predictor"]["params"]["kernel"]
        return {**networks, "predictor": {"params": {"kernel": kernel, "bias": mean}}}

    def forward(self, networks, batch, rng):
        frame = batch["video"][:, 0].reshape(len(batch["video"]), -1)
        noise = 0.01 * jax.random.normal(rng, (len(frame), 3))
        return self.modules["predictor"].apply(networks["predictor"], frame) + noise, {}

    def loss(self, networks, outputs, batch, rng):
        error = jnp.mean((outputs - jnp.mean(batch["video"][:, 1], axis=(1, 2))) ** 2)
        if self.not_a_number_at is not None:
            seen = jax.random.key_data(rng)
            bad = jax.random.key_data(jax.random.fold_in(jax.random.key(0), self.not_a_number_at))
            error = jnp.where(jnp.all(seen == bad), jnp.nan, error)
        return error, ({}, {"error": error})

    def late_loss(self, networks, outputs, batch, rng):
        scale = jnp.mean(self.modules["scale"].apply(networks["scale"], jax.lax.stop_gradient(outputs)) ** 2)
        return scale, ({}, {"scale": scale})

    def evaluate(self, networks, batch, rng):
        outputs, _ = self.forward(networks, batch, rng)
        return {"error": jnp.mean((outputs - jnp.mean(batch["video"][:, 1], axis=(1, 2))) ** 2, axis=-1)}

    def preview(self, networks, batch, rng):
        return (batch["video"],)


def tiny_config(**train):
    config = common.base(32)
    config.data.update(name="sky", size=16, frames=2, flip=0.0, workers=0)
    config.data.num_clips.update(train=24, eval=10, test=8)
    config.train.update(
        log_every=1, preview_every=4, checkpoint_every=3, evaluate_every=3, evaluate_clips=0, previews=2, **train
    )
    config.video_vae.update(batch_size=8)
    config.video_vae.optimizer.update(learning_rate=1e-2)
    return config


def tiny_trainer(folder, steps, *, devices=1, task=None, config=None, interruption=None, **stage):
    """Returns a trainer of `MeanColor` on the first `devices` virtual devices; `stage`: fields of `StageRun`."""
    config = config or tiny_config()
    mesh = make_mesh(config.mesh, jax.devices()[:devices])
    pipelines = [
        make_pipeline(
            open_split(config.data, split), config.data, batch_size=8, seed=config.seed, train=split == "train"
        )
        for split in ("train", "eval")
    ]
    run = StageRun("video_vae", task or MeanColor(), *pipelines, steps, config, files.location(folder), **stage)
    return Trainer(run, mesh, interruption or Interruption())


def assert_same(a, b):
    """Checks that two trees have the same numbers."""
    jax.tree.map(np.testing.assert_array_equal, a, b)
