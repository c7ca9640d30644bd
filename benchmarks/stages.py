"""What the training benchmarks train: configurations, clips of noise, and stages compiled as in training."""

import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest import mock

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import torch_networks
from i2v_jax.configs import bair, landscape, poking_plants, sky
from i2v_jax.distributed import mesh as meshes
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.input.rows import rows_pipeline
from i2v_jax.pretrained import weights
from i2v_jax.tasks import control as controls
from i2v_jax.tasks import registry
from i2v_jax.tasks.base import Networks, Task
from i2v_jax.tasks.flow import Flow
from i2v_jax.torch_interop import load_torch
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.loop import Trainer
from i2v_jax.training.stage_run import StageRun

STAGES = ("video_vae", "image_ae", "flow")
DATA = {"bair": bair, "landscape": landscape, "poking_plants": poking_plants}


def make_config(size: str) -> ConfigDict:
    """Returns the configuration of `demo`, `bair` (bfloat16) or `bair16` (a quarter of the channels, float32).

    `quick` is as narrow as PyTorch's group norms allow. See `prepared`.
    """
    config = sky.get_config("demo") if size == "demo" else bair.get_config()
    if size == "bair":
        config.dtype = "bfloat16"
    elif size == "bair16":
        _narrow(config, encoder=(16, 32, 64, 128, 128), temporal=(16, 16, 32, 64, 128), factor=16, batches=(2, 4, 10))
    elif size == "quick":
        _narrowest(config)
        config.flow.encode_once = True
    return prepared(config)


def full_config(data: str, quick: bool) -> ConfigDict:
    """Returns the configuration of a data set of `DATA`, unchanged or, with `quick`, with narrow networks at 64x64.

    Narrow networks have no pretrained distance, and encode no clips for the flow. See `prepared`.
    """
    config = DATA[data].get_config("size=64" if quick else "")
    if quick and "poke" in config:
        config.poke.update(batch_size=2, reference_batch=2)
        config.poke.model.update(features=16, narrowest=8)
        config.poke.temporal_discriminator.width, config.poke.patch_discriminator.width = 4, 8
        config.poke.loss.perceptual_network = "laplacian"
        config.data.frames = 4
    elif quick:
        _narrowest(config)
        config.flow.encode_once = True
        for stage in ("video_vae", "image_ae"):
            config[stage].loss.perceptual_network = "laplacian"
    return prepared(config)


def prepared(config: ConfigDict) -> ConfigDict:
    """Returns the configuration with adversarial updates from the second step on, and the release's couplings.

    An epoch is one step long.
    """
    if "flow" in config:
        config.flow.network.scale = "exp"
        for stage in ("video_vae", "image_ae"):
            config[stage].adversarial_epoch = 1.0
    if "poke" in config:
        config.poke.adversarial_step = 1
    return config


def _narrowest(config: ConfigDict) -> None:
    _narrow(config, encoder=(16,) * 5, temporal=(16,) * 5, factor=8, batches=(2, 2, 2))
    config.flow.network.update(blocks=2, hidden=16)


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
    if stage == "poke":
        poke = np.zeros((batch_size, size, size, 2), np.float32)
        poke[:, size // 2 : size // 2 + 3, size // 2 : size // 2 + 3] = (5.0, -3.0)
        return {**batch, "poke": poke, "is_background": np.zeros(batch_size, bool)}
    values = np.repeat(controls.get(config.control).example(size), batch_size, axis=0)
    for name in controls.get(config.control).arrays:
        batch[name] = values
    return batch


def random_weights(name: str) -> Any:
    """Returns random variables of a backbone, which takes as long as with the real ones and needs no file."""
    networks: dict[str, Callable[[], Any]] = {"lpips": torch_networks.LPIPS, "vgg19": torch_networks.VGG19}
    return load_torch(name, networks[name]().state_dict(), {})[1]


def make_task(config: ConfigDict, stage: str) -> Task:
    """Returns the task of a stage, with random weights for backbones and for the networks of earlier stages."""
    modules = registry.build(config)
    if stage == "flow":
        return _flow_task(config, modules)
    with mock.patch.object(weights, "load", random_weights):
        return registry.get(stage).task(registry.Ingredients(config, modules, trained={}, steps_per_epoch=1))


def _flow_task(config: ConfigDict, modules: Mapping[str, Any]) -> Flow:
    frozen_modules = {"video_encoder": modules["video_vae"]["encoder"], "image_encoder": modules["image_ae"]["encoder"]}
    frozen: Networks = {}
    if not config.flow.encode_once:
        clip = make_batch(config, "flow")["video"][:1]
        examples = {"video_encoder": clip[:, 1:], "image_encoder": clip[:, 0]}
        rng = jax.random.key(0, impl="rbg")
        frozen = {name: jax.jit(frozen_modules[name].init)(rng, example) for name, example in examples.items()}
    return Flow(config, modules["flow"], frozen_modules, frozen)


class CompiledStage:
    """The programs of a stage, made and called as the training loop makes and calls them, and how long that took.

    Attributes:
      compile_seconds: of the initialization ("init") and of each program, by the names of its updates.
      programs: the compiled step of each, (state, frozen, batch) -> (state, metrics).
      state: before the next step, which donates it.
    """

    def __init__(
        self,
        config: ConfigDict,
        stage: str,
        folder: pathlib.Path | None = None,
        *,
        steps: Sequence[int] = (0, 1),
        state: Any = None,
    ) -> None:
        """Compiles the programs that run at `steps`.

        Args:
          config: the whole configuration.
          stage: its stage to compile.
          folder: would hold the checkpoints; the benchmark writes none. None: a temporary one.
          steps: 0 runs without, 1 with adversarial updates.
          state: to begin with, of the same stage with another type or batch size; None: a new one.
        """
        data: Pipeline = rows_pipeline(make_batch(config, stage), batch_size=config[stage].batch_size, seed=0)
        self._temporary = tempfile.TemporaryDirectory(prefix="i2v_jax_stage_")
        folder = folder or pathlib.Path(self._temporary.name)
        self._task, mesh = make_task(config, stage), meshes.make_mesh(config.mesh)
        self._trainer = Trainer(StageRun(stage, self._task, data, data, 2, config, folder), mesh, Interruption())
        self.compile_seconds: dict[str, float] = {}
        self.programs: dict[str, Any] = {}
        self._batch = meshes.global_batch(make_batch(config, stage), mesh)
        self.state = self._initial_state() if state is None else state
        for step in steps:
            self.compile(step)

    def _initial_state(self) -> Any:
        began = time.perf_counter()
        state, iterator = self._trainer.restore_or_init()
        jax.block_until_ready(state)
        self.compile_seconds["init"] = time.perf_counter() - began
        iterator.close()
        return state

    def compile(self, step: int) -> str:
        """Compiles the program that runs at a step, unless it was compiled before; returns the names of its updates."""
        name = " + ".join(update.name for update in self._task.updates if update.runs_at(step))
        began = time.perf_counter()
        self.programs[name] = self._trainer.compiled_step(step, self.state, self._batch)
        self.compile_seconds.setdefault(name, time.perf_counter() - began)
        return name

    def runs(self) -> dict[str, Callable[[], None]]:
        """Returns name of the updates -> a function that takes one step with them and waits for it."""

        def run(program: Any) -> None:
            self.state, metrics = program(self.state, self._trainer.frozen, self._batch)
            jax.block_until_ready((self.state, metrics))

        return {name: lambda program=program: run(program) for name, program in self.programs.items()}

    def close(self) -> None:
        """Ends what the trainer runs in the background."""
        self._trainer.close()
        self._temporary.cleanup()
