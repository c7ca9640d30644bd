"""`plants` as a data set of the registry: drawn by `i2v_jax/input/procedural/plants.py`."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from ml_collections import ConfigDict

from i2v_jax.data.data_set import EmbeddedDataSet
from i2v_jax.input.procedural import plants
from i2v_jax.input.sources import VideoSource


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlantsDataSet(EmbeddedDataSet):
    """Plants that are pulled, in a breeze of `data.breeze`; the answer of every scene to every poke is known."""

    whole_motion: ClassVar[bool] = True

    def open(self, data: ConfigDict, split: str) -> VideoSource:
        frames = (data.frames - 1) * data.frame_stride + 1
        return plants.PlantsSource(split, data.num_clips[split], frames, data.size, data.breeze)

    def describe(self, data: ConfigDict) -> str:
        return f"{self.name} in a breeze of {data.breeze:g}" if data.breeze else self.name

    def true_answers(
        self,
        data: ConfigDict,
        split: str,
        index: int,
        position: Sequence[float],
        displacement: Sequence[float],
        count: int,
        seed: int,
    ) -> np.ndarray:
        """Returns the true responses, see `KnownAnswers`: the poke moves its plant, the breeze moves the others."""
        times, rng = plants.clip_times(data.frames)[1:], np.random.default_rng([seed, index])
        (x, y), (dx, dy) = position, displacement
        (pull,) = plants.pull_at(split, index, data.size, (x, y), (dx, dy))
        outcomes = [plants.in_breeze(split, index, pull, data.breeze, rng) for _ in range(count)]
        return np.stack([plants.render(split, index, data.size, times, pulls) for pulls in outcomes])


PLANTS = PlantsDataSet(source=plants.PlantsSource, config="plants")
