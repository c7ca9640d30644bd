"""The base of procedural data sets: a source whose clips are drawn when they are read."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from i2v_jax.input.sources import SPLITS

SPLIT_SEEDS = {split: number for number, split in enumerate(SPLITS)}  # the first number of every seed


@dataclasses.dataclass(frozen=True)
class ProceduralSource(abc.ABC):
    """One split of a procedural data set as `sources.VideoSource`. Subclasses set `dataset` and implement `draw`."""

    split: str
    num_videos: int
    frames: int  # of each video
    size: int

    dataset: ClassVar[str]
    label_names: ClassVar[tuple[str, ...]] = ()
    stored: ClassVar[str] = "drawn"
    content_sha256: ClassVar[str] = ""

    @abc.abstractmethod
    def draw(self, video: int, frame_indices: Sequence[int]) -> np.ndarray:
        """Draws frames of a video, uint8 [T, size, size, 3]."""

    def __len__(self) -> int:
        return self.num_videos

    def num_frames(self, video: int) -> int:
        return self.frames

    def name(self, video: int) -> str:
        return f"{self.dataset}-{self.split}-{video:06d}"

    def object_name(self, video: int) -> str:
        """Returns the name of the video: every scene shows another object."""
        return self.name(video)

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        """Draws frames at the size of the source, whatever `min_size` is."""
        return self.draw(video, frame_indices)

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        return {}
