"""What the training benchmark trains: configurations, clips of noise, and stages compiled as in training."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import torch_networks
from i2v_jax.configs import bair, sky
from i2v_jax.distributed import mesh as meshes
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.input.rows import rows_pipeline
from i2v_jax.pretrained.networks.lpips import LPIPS
from i2v_jax.tasks import control as controls
from i2v_jax.tasks import registry
from i2v_jax.tasks.base import Networks, Task
from i2v_jax.tasks.flow import Flow
from i2v_jax.tasks.image_ae import ImageAE
from i2v_jax.tasks.video_vae import VideoVAE
from i2v_jax.torch_interop import load_torch
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.loop import StageRun, Trainer

STAGES = ("video_vae", "image_ae", "flow")


def make_config(size: str) -> ConfigDict:
    """Returns the configuration of `demo`, `bair` (bfloat16) or `bair16` (a quarter of the channels, float32).

    An epoch is one step long and the adversarial updates start in the second; couplings are those of the release, as in
    PyTorch. `quick` is as narrow as PyTorch's group norms allow.
    """
    config = sky.get_config("demo") if size == "demo" else bair.get_config()
    config.flow.network.scale = "exp"
    for stage in ("video_vae", "image_ae"):
        config[stage].adversarial_epoch = 1.0
    if size == "bair":
        config.dtype = "bfloat16"
    elif size == "bair16":
        _narrow(config, encoder=(16, 32, 64, 128, 128), temporal=(16, 16, 32, 64, 128), factor=16, batches=(2, 4, 10))
    elif size == "quick":
        _narrow(config, encoder=(16,) * 5, temporal=(16,) * 5, factor=8, batches=(2, 2, 2))
        config.flow.encode_once = True
        config.flow.network.update(blocks=2, hidden=16)
    return config


def _narrow(
    config: ConfigDict, *, encoder: tuple[int, ...], temporal: tuple[int, ...], factor: int, batches: tuple[int, ...]
) -> None:
    """Reduces the channels of BAIR's networks but keeps the ResNet-50 image encoder, the only one that PyTorch has."""
    config.video_vae.encoder.channels = encoder
    config.video_vae.decoder.channel_factor = factor
    config.video_vae.temporal_discriminator.channels = temporal
    config.video_vae.patch_discriminator.width = factor
    config.image_ae.decoder.update(channels=24, mlp_width=500)
    config.image_ae.patch_discriminator.width = factor
    for stage, batch_size in zip(STAGES, batches, strict=True):
        config[stage].update(batch_size=batch_size, reference_batch=batch_size)


def make_batch(config: ConfigDict, stage: str) -> dict[str, np.ndarray]:
    """Returns a batch of noise with the shapes that the stage is trained on."""
    rng = np.random.default_rng(0)
    batch_size, size = config[stage].batch_size, config.data.size
    batch = {}
    if stage == "flow" and config.flow.encode_once:
        z_dim, embedding = config.video_vae.encoder.z_dim, config.image_ae.encoder.z_dim
        for name, width in (("mean", z_dim), ("logvar", z_dim), ("embedding", embedding)):
            batch[name] = rng.normal(0.0, 0.5, (batch_size, width)).astype(np.float32)
    else:
        frames = 1 if stage == "image_ae" else config.data.frames
        batch["video"] = rng.uniform(-1.0, 1.0, (batch_size, frames, size, size, 3)).astype(np.float32)
    values = np.repeat(controls.get(config.control).example(size), batch_size, axis=0)
    for name in controls.get(config.control).arrays:
        batch[name] = values
    return batch


def random_lpips(task: VideoVAE | ImageAE, dtype: str) -> None:
    """Gives the task an LPIPS with random weights, which takes as long as one with the real ones and needs no file."""
    _, variables = load_torch("lpips", torch_networks.LPIPS().state_dict(), {})
    module = LPIPS(dtype=dtype)
    task.frozen = {"lpips": variables}
    task.distance = lambda networks, a, b: module.apply(networks["lpips"], a, b)


def make_task(config: ConfigDict, stage: str) -> Task:
    """Returns the task of a stage, with random weights for the networks of earlier stages."""
    modules = registry.build(config)
    if stage == "flow":
        return _flow_task(config, modules)
    perceptual = config[stage].loss.perceptual_network
    config = config.copy_and_resolve_references()
    config[stage].loss.perceptual_network = "laplacian"  # LPIPS would require its pretrained weights
    task = (VideoVAE if stage == "video_vae" else ImageAE)(config, modules[stage], steps_per_epoch=1)
    if perceptual == "lpips":
        random_lpips(task, config.dtype)
    return task


def _flow_task(config: ConfigDict, modules: dict[str, Any]) -> Flow:
    frozen_modules = {"video_encoder": modules["video_vae"]["encoder"], "image_encoder": modules["image_ae"]["encoder"]}
    frozen: Networks = {}
    if not config.flow.encode_once:
        clip = make_batch(config, "flow")["video"][:1]
        examples = {"video_encoder": clip[:, 1:], "image_encoder": clip[:, 0]}
        rng = jax.random.key(0, impl="rbg")
        frozen = {name: jax.jit(frozen_modules[name].init)(rng, example) for name, example in examples.items()}
    return Flow(config, modules["flow"], frozen_modules, frozen)


class CompiledStage:
    """The programs of a stage, made and called as the training loop makes and calls them, and how long that took."""

    def __init__(self, config: ConfigDict, stage: str, folder: pathlib.Path) -> None:
        """`folder` would hold the checkpoints; the benchmark writes none."""
        data: Pipeline = rows_pipeline(make_batch(config, stage), batch_size=config[stage].batch_size, seed=0)
        self._task, mesh = make_task(config, stage), meshes.make_mesh(config.mesh)
        self._trainer = Trainer(StageRun(stage, self._task, data, data, 2, config, folder), mesh, Interruption())
        self.compile_seconds: dict[str, float] = {}
        self._batch = meshes.global_batch(make_batch(config, stage), mesh)
        began = time.perf_counter()
        self._state, iterator = self._trainer.restore_or_init()
        jax.block_until_ready(self._state)
        self.compile_seconds["init"] = time.perf_counter() - began
        iterator.close()
        self._programs = dict(map(self._compile, range(2)))

    def _compile(self, step: int) -> tuple[str, Any]:
        """Returns the program that runs at that step, and its name."""
        name = " + ".join(update.name for update in self._task.updates if update.runs_at(step))
        began = time.perf_counter()
        program = self._trainer.compiled_step(step, self._state, self._batch)
        self.compile_seconds.setdefault(name, time.perf_counter() - began)
        return name, program

    def runs(self) -> dict[str, Callable[[], None]]:
        """Returns name of the updates -> a function that takes one step with them and waits for it."""

        def run(program: Any) -> None:
            self._state, metrics = program(self._state, self._trainer.frozen, self._batch)
            jax.block_until_ready((self._state, metrics))

        return {name: lambda program=program: run(program) for name, program in self._programs.items()}

    def close(self) -> None:
        self._trainer.close()
