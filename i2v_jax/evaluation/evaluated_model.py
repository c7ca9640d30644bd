"""The model that is measured, as functions of batches of clips."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.data.registry import data_set
from i2v_jax.errors import UserError
from i2v_jax.evaluation.clips import Batch
from i2v_jax.evaluation.records import ModelIdentity
from i2v_jax.sampling.generator import Generator, LatentGenerator
from i2v_jax.sampling.load import load_generator
from i2v_jax.sampling.stages import described_checkpoints, last_step, model_name, variables_sha256
from i2v_jax.tasks.registry import Selection
from i2v_jax.workdir import read_workdir

Array = NDArray[np.float32]
# Where the control of a sample comes from: the true clip, or drawn at random for each sample.
ControlSource = Literal["own", "random"]


@dataclasses.dataclass(frozen=True)
class EvaluatedModel:
    """A trained model. What it makes of a clip depends on the seed and the clip's id, not on batches or devices."""

    name: str
    generator: Generator
    config: ConfigDict
    checkpoint_sha256: str
    step: int
    checkpoints: str = ""  # of all stages, and why they were chosen, for the record
    temperature: float = 1.0
    control_source: ControlSource = "own"

    def identity(self, seed: int) -> ModelIdentity:
        return ModelIdentity(self.name, self.checkpoint_sha256, self.step, seed, self.temperature, self.checkpoints)

    @property
    def mesh(self) -> Mesh:
        """Of one axis: its devices share the clips."""
        assert self.generator.mesh is not None
        return self.generator.mesh

    @property
    def data_name(self) -> str:
        """For the record: the data set, and what changes its clips."""
        data = self.config.data
        return data_set(data.name).describe(data)

    @property
    def condition(self) -> str:
        """For the record: the control beside the start frame, and where it comes from; empty for none."""
        return self.generator.describe().control.describe(self.config.data, drawn=self.control_source == "random")

    def sample(self, clips: Batch, example_ids: Sequence[int], seed: int, samples: int, frames: int) -> Array:
        """Clips with x0 first -> videos [B, S, frames, H, W, 3] in [-1, 1]."""
        return self.generator.generate(
            clips["video"][:, 0],
            jax.random.key(seed),
            samples,
            frames=frames,
            temperature=self.temperature,
            control=self._control(clips) if self.control_source == "own" else None,
            example_ids=example_ids,
        )

    def log_likelihood(self, clips: Batch, example_ids: Sequence[int], seed: int, exact: bool) -> Array:
        """Returns log p(z | x0) [B], see `LatentGenerator.log_likelihood`. Raises UserError without a latent."""
        if not isinstance(self.generator, LatentGenerator):
            raise UserError(f"{self.name} has no likelihood: leave such metrics out of --metrics")
        return self.generator.log_likelihood(
            self._first_frames(clips["video"]),
            jax.random.key(seed),
            self._control(clips),
            exact=exact,
            example_ids=example_ids,
        )

    def clip_features(self, video: Array) -> Array:
        """Returns features [B, n] of clips [B, 1 + T, H, W, 3]; clips that look and move alike are close."""
        return self.generator.clip_features(self._first_frames(video))

    @property
    def feature_frames(self) -> int:
        """T, the frames after x0 that `clip_features` needs."""
        return self.generator.describe().frames

    @property
    def latent_dimensions(self) -> int:
        """Of what has a log-likelihood."""
        return self.generator.describe().latent_dimensions

    def _first_frames(self, video: Array) -> Array:
        return video[:, : 1 + self.feature_frames]

    def _control(self, clips: Batch) -> Array:
        try:
            return self.generator.clip_control(clips)
        except UserError as error:
            raise UserError(f"{error}: give --control=random") from error


def load_evaluated_model(
    workdir: str | os.PathLike[str],
    *,
    name: str = "",
    control_source: ControlSource = "own",
    temperature: float = 1.0,
    batch_size: int = 8,
    checkpoint: Selection | None = None,
) -> EvaluatedModel:
    """Returns a trained model, on all devices of this process; see `load_generator`."""
    config = read_workdir(workdir)
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("clips",), axis_types=(AxisType.Auto,), devices=devices)
    loaded: Any = load_generator(workdir, checkpoint=checkpoint)
    return EvaluatedModel(
        name=name or model_name(workdir),
        generator=dataclasses.replace(loaded, chunk=batch_size, mesh=mesh),
        config=config,
        checkpoint_sha256=variables_sha256(loaded.variables),
        step=last_step(config, workdir, checkpoint),
        checkpoints="; ".join(described_checkpoints(config, workdir, checkpoint)),
        temperature=temperature,
        control_source=control_source,
    )
