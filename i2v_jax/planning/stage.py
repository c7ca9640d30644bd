"""A stage of training without its data, its weights and its devices: only the shapes of their arrays."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from i2v_jax.config import stage_data
from i2v_jax.data.registry import data_set
from i2v_jax.input.pipeline import Pipeline, make_pipeline
from i2v_jax.tasks import registry
from i2v_jax.tasks.base import Networks, Task
from i2v_jax.training.latents import EncodesClips

_STEPS_PER_EPOCH = 100  # of data sets that are not embedded: schedules count epochs, programs do not depend on it


@dataclasses.dataclass(frozen=True)
class AbstractStage:
    """What the programs of a stage are made from.

    Attributes:
      batch: the shapes and types of the global batch.
      steps: all of the training, with epochs of `steps_per_epoch`.
    """

    name: str
    task: Task
    batch: Mapping[str, jax.ShapeDtypeStruct]
    steps_per_epoch: int
    steps: int


def abstract_stage(config: ConfigDict, name: str) -> AbstractStage:
    """Returns a stage of a configuration; call it within `weights.only_shapes`.

    Raises:
      UserError: a field of the configuration has an invalid value.
    """
    clips = _pipeline(config, name)
    task = _task(config, name, clips.steps_per_epoch)
    batch = clips.batch_spec
    if config[name].get("encode_once", False) and isinstance(task, EncodesClips):
        encoded = jax.eval_shape(task.encode, task.frozen, {"video": batch["video"]})
        batch = {**vars(encoded), **{array: batch[array] for array in task.kept_arrays}}
    steps = config[name].steps or config[name].epochs * clips.steps_per_epoch
    return AbstractStage(name, task, batch, clips.steps_per_epoch, steps)


def _task(config: ConfigDict, name: str, steps_per_epoch: int) -> Task:
    stage = registry.get(name)
    trained = {needed: _networks(config, needed) for needed in stage.needs}
    return stage.task(registry.Ingredients(config, registry.build(config), trained, steps_per_epoch))


def _networks(config: ConfigDict, name: str) -> Networks:
    """Returns the shapes of a stage's networks."""
    clips = _pipeline(config, name)
    task = _task(config, name, clips.steps_per_epoch)
    return jax.eval_shape(task.init_variables, jax.random.key(0), clips.batch_spec)


def _pipeline(config: ConfigDict, name: str) -> Pipeline:
    """Returns the pipeline of a stage's training clips, which knows their shapes, but cannot read any."""
    data, batch_size = stage_data(config, name), config[name].batch_size
    if "poke" in data:
        # Shapes depend neither on where flows come from nor on their values; the longest clips need the most memory.
        data.poke.update(flow="dis", normalize="none", mask="none")
        data.poke.sequence.shortest = 0
    labels = data_set(data.name).labels
    labels = (*labels, "class") if data.get("classified", False) else labels
    frames = (data.frames - 1) * data.frame_stride + 1
    clips = max(data.num_clips.train or _STEPS_PER_EPOCH * batch_size, batch_size)
    source = _NoVideos(labels, -(-clips // (data.clips_per_video.train or frames)), frames)
    field = f"{name}.batch_size"
    return make_pipeline(source, data, batch_size=batch_size, seed=config.seed, train=True, field=field)


@dataclasses.dataclass(frozen=True)
class _NoVideos:
    """A `VideoSource` that only says how many videos there are, and how long they are: a plan reads none of them."""

    label_names: tuple[str, ...]
    videos: int
    frames: int
    split: str = "train"
    stored: str = ""
    content_sha256: str = ""

    def __len__(self) -> int:
        return self.videos

    def num_frames(self, video: int) -> int:
        return self.frames

    def name(self, video: int) -> str:
        return f"video {video}"

    def object_name(self, video: int) -> str:
        return self.name(video)

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        raise NotImplementedError("a plan reads no videos")

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        raise NotImplementedError("a plan reads no videos")
