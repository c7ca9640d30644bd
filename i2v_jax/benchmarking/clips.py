"""The clips of a protocol, by number."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.evaluation.protocols import Clip, ClipList, Protocol, clip_list
from i2v_jax.input import transforms
from i2v_jax.input.pipeline import open_split
from i2v_jax.input.sources import VideoSource

Batch = dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class ClipReader:
    """Random access to listed clips; the same pixels whoever reads them."""

    source: VideoSource
    listed: ClipList
    videos: Mapping[str, int]  # name -> number in the source
    size: int
    crop: str

    def __len__(self) -> int:
        return len(self.listed)

    def clip(self, number: int) -> Clip:
        return self.listed.clips[number]

    def read(self, numbers: Sequence[int]) -> Batch:
        """`video` [B, 1 + T, size, size, 3] in [-1, 1], x0 first, and the labels of the data set, [B, ...] each.

        Raises:
            UserError: a video cannot be read.
        """
        rows = [self._read(self.clip(number)) for number in numbers]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def _read(self, clip: Clip) -> dict[str, Any]:
        video = self.videos[clip.video]
        pixels = self.source.read(video, clip.indices, self.size)
        crop = "center" if self.crop == "random" else self.crop
        frames = transforms.to_float(transforms.fit(pixels, self.size, crop))
        return {"video": frames, **self.source.labels(video, clip.indices)}


def open_clips(
    data: ConfigDict, protocol: Protocol, split: str, *, seed: int = 0, paired: bool = False, limit: int = 0
) -> ClipReader:
    """The clips that `protocol` takes from a split of `data` (a config's part); arguments as of `clip_list`.

    Raises:
        UserError: the data is missing, or no video is long enough.
    """
    data = data.copy_and_resolve_references()
    data.frames, data.frame_stride = 1 + protocol.frames, protocol.stride
    source = open_split(data, split)
    names = [(source.name(video), source.num_frames(video)) for video in range(len(source))]
    listed = clip_list(protocol, names, seed, paired, limit)
    return ClipReader(source, listed, {name: video for video, (name, _) in enumerate(names)}, data.size, data.crop)
