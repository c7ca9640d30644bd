"""The clips of a protocol, by number."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.data.protocol import Protocol
from i2v_jax.data.registry import open_split
from i2v_jax.evaluation.protocols import Clip, ClipList, clip_list, spare_clips
from i2v_jax.input import transforms
from i2v_jax.input.clips import Cut
from i2v_jax.input.poke_reader import ClipPokes, PokeSettings
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
    pokes: ClipPokes | None = None  # where models are poked
    poke_frames: int = 0  # what is poked arrives in the last of so many frames, x0 included

    def __len__(self) -> int:
        return len(self.listed)

    def clip(self, number: int) -> Clip:
        return self.listed.clips[number]

    def read(self, numbers: Sequence[int]) -> Batch:
        """`video` [B, 1 + T, size, size, 3] in [-1, 1], x0 first, and the labels of the data set, [B, ...] each.

        Where models are poked also the arrays of a poke (`input/pipeline.py`), which depends on the clip alone.

        Raises:
            UserError: a video cannot be read.
        """
        rows = [self._read(number) for number in numbers]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def spare(self, protocol: Protocol, seed: int, count: int) -> Self:
        """Of `count` further clips of the same split, see `spare_clips`; without pokes."""
        videos = [(name, self.source.num_frames(video)) for name, video in self.videos.items()]
        listed = spare_clips(protocol, videos, seed, self.listed.clips[:count])
        return dataclasses.replace(self, listed=listed, pokes=None)

    def cut(self, number: int) -> Cut:
        """A clip as it is, x0 first; `rng` depends on the clip alone."""
        clip = self.clip(number)
        video = self.videos[clip.video]
        pixels = self.source.read(video, clip.indices, self.size)
        crop = transforms.steady(self.crop)
        digest = hashlib.sha256(f"{clip.video}/{clip.start}".encode()).digest()
        return Cut(
            video=video,
            indices=clip.indices,
            pixels=transforms.fit(pixels, self.size, crop),
            labels=self.source.labels(video, clip.indices),
            crop=crop,
            place=(0.5, 0.5),
            rng=np.random.default_rng(int.from_bytes(digest[:8])),
        )

    def _read(self, number: int) -> dict[str, Any]:
        cut = self.cut(number)
        row = {"video": transforms.to_float(cut.pixels), **cut.labels}
        if self.pokes is None:
            return row
        until = self.poke_frames
        poked = dataclasses.replace(cut, indices=cut.indices[:until], pixels=cut.pixels[:until])
        return {**row, **self.pokes.poke(poked, cut.rng)}


def open_clips(
    data: ConfigDict, protocol: Protocol, split: str, *, seed: int = 0, paired: bool = False, limit: int = 0
) -> ClipReader:
    """The clips that `protocol` takes from a split of `data` (a config's part); arguments as of `clip_list`.

    Raises:
        UserError: the data is missing, or no video is long enough.
    """
    data, poke_frames = data.copy_and_resolve_references(), data.frames
    data.frames, data.frame_stride = 1 + protocol.clip_frames, protocol.stride
    source = open_split(data, split)
    names = [(source.name(video), source.num_frames(video)) for video in range(len(source))]
    listed = clip_list(protocol, names, seed, paired, limit)
    videos = {name: video for video, (name, _) in enumerate(names)}
    return ClipReader(source, listed, videos, data.size, data.crop, _pokes(data, source), poke_frames)


def _pokes(data: ConfigDict, source: VideoSource) -> ClipPokes | None:
    """Pokes of what moves, none of the background. Stored flows belong to training clips: here they are estimated."""
    if "poke" not in data:
        return None
    settings = PokeSettings.of(data.poke)
    flow = "dis" if settings.flow == "stored" else settings.flow
    return ClipPokes(source, dataclasses.replace(settings, flow=flow, zeropoke_amount=0), data.size)
