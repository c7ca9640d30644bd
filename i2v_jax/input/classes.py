"""Videos whose folder says what they show: `waterfall/0012.mp4` is of the class `waterfall`."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input.sources import VideoSource


def class_names(source: VideoSource) -> tuple[str, ...]:
    """The folders of all videos, in alphabetical order.

    Raises:
        UserError: all videos are in one folder, or in none.
    """
    names = tuple(sorted({_folder(source.name(video)) for video in range(len(source))}))
    if len(names) < 2:
        raise UserError(
            f"all {len(source)} videos are in folder {names[0]!r}: a classifier needs one folder for each class"
        )
    return names


@dataclasses.dataclass(frozen=True)
class ClassifiedSource:
    """A source whose clips carry their class beside their other labels."""

    source: VideoSource
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises UserError for a video of a class that there is not."""
        for video in range(len(self)):
            if _folder(self.name(video)) not in self.classes:
                raise UserError(f"video '{self.name(video)}' is of no class of the training split: {self.classes}")

    @property
    def split(self) -> str:
        return self.source.split

    @property
    def label_names(self) -> tuple[str, ...]:
        return (*self.source.label_names, "class")

    def __len__(self) -> int:
        return len(self.source)

    def num_frames(self, video: int) -> int:
        return self.source.num_frames(video)

    def name(self, video: int) -> str:
        return self.source.name(video)

    def object_name(self, video: int) -> str:
        return self.source.object_name(video)

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        return self.source.read(video, frame_indices, min_size)

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        """With "class", the place in `classes`."""
        own = np.int32(self.classes.index(_folder(self.name(video))))
        return {**self.source.labels(video, frame_indices), "class": own}


def _folder(name: str) -> str:
    return pathlib.PurePosixPath(name).parent.name
