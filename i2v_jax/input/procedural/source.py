"""What the procedural data sets share: splits, and a source whose clips are drawn when they are read."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from i2v_jax.input.sources import SPLITS

SPLIT_SEEDS = {split: number for number, split in enumerate(SPLITS)}  # the first number of every seed


@dataclasses.dataclass(frozen=True)
class ProceduralSource(abc.ABC):
    """The random-access source of the pipeline (`sources.VideoSource`) for one split. A data set says how to `draw`."""

    split: str
    num_videos: int
    frames: int  # of each video
    size: int

    dataset: ClassVar[str]
    label_names: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def draw(self, video: int, frame_indices: Sequence[int]) -> np.ndarray:
        """uint8 [T, size, size, 3]."""

    def __len__(self) -> int:
        return self.num_videos

    def num_frames(self, video: int) -> int:
        return self.frames

    def name(self, video: int) -> str:
        return f"{self.dataset}-{self.split}-{video:06d}"

    def object_name(self, video: int) -> str:
        """Every scene shows something of its own."""
        return self.name(video)

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        """uint8 [T, size, size, 3]; `min_size` has no use here, frames are drawn at the size wanted."""
        return self.draw(video, frame_indices)

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        return {}
