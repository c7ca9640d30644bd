"""Videos whose folder is their class: `waterfall/0012.mp4` has the class `waterfall`."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input.sources import VideoSource


def class_names(source: VideoSource) -> tuple[str, ...]:
    """Returns the folders of all videos in alphabetical order. Raises UserError if there are fewer than two."""
    names = tuple(sorted({_folder(source.name(video)) for video in range(len(source))}))
    if len(names) < 2:
        raise UserError(
            f"all {len(source)} videos are in the folder {names[0]!r}: a classifier needs one folder for each class",
            "data.classified",
        )
    return names


@dataclasses.dataclass(frozen=True)
class ClassifiedSource:
    """A source whose clips have their class as an additional label."""

    source: VideoSource
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises UserError for a video whose class is not one of `classes`."""
        for video in range(len(self)):
            if _folder(self.name(video)) not in self.classes:
                raise UserError(
                    f"video {self.name(video)!r} has no class of the training split, which are "
                    f"{', '.join(self.classes)}: move it to one of these folders",
                    "class",
                    self.name(video),
                )

    @property
    def split(self) -> str:
        return self.source.split

    @property
    def label_names(self) -> tuple[str, ...]:
        return (*self.source.label_names, "class")

    @property
    def stored(self) -> str:
        return self.source.stored

    @property
    def content_sha256(self) -> str:
        return self.source.content_sha256

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
        """Returns the labels of the source, and "class", the index in `classes`."""
        own = np.int32(self.classes.index(_folder(self.name(video))))
        return {**self.source.labels(video, frame_indices), "class": own}


def _folder(name: str) -> str:
    return pathlib.PurePosixPath(name).parent.name
