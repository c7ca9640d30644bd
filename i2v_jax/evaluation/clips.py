"""Random access to the clips that a protocol takes from a data set."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.commands import command
from i2v_jax.data.protocol import Protocol
from i2v_jax.data.registry import open_split
from i2v_jax.evaluation.protocols import Clip, ClipList, clip_list, spare_clips
from i2v_jax.input import transforms
from i2v_jax.input.clip_pokes import ClipPokes, PokeSettings
from i2v_jax.input.clips import RawClip
from i2v_jax.input.flow_store import FlowStore
from i2v_jax.input.sources import RecordSource, VideoSource
from i2v_jax.logs import logger
from i2v_jax.pixels import from_levels

Batch = dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class ClipReader:
    """Random access to listed clips by example id, the index in the list. Reads the same pixels on every machine."""

    source: VideoSource
    listed: ClipList
    videos: Mapping[str, int]  # name -> index in the source
    size: int
    crop: str
    resize: str = "area"
    pokes: ClipPokes | None = None  # for models that answer to pokes
    poke_frames: int = 0  # a poke goes from x0 to the last of this many frames

    def __len__(self) -> int:
        return len(self.listed)

    @property
    def truth(self) -> dict[str, str]:
        """How the true frames are stored and made square, under the names of `MetricProtocol`."""
        return {
            "truth_stored": self.source.stored,
            "truth_crop": transforms.eval_crop(self.crop),
            "truth_resize": self.resize,
        }

    def clip(self, example_id: int) -> Clip:
        return self.listed.clips[example_id]

    def read(self, example_ids: Sequence[int]) -> Batch:
        """Returns `video` [B, 1 + T, size, size, 3] in [-1, 1], x0 first, and the labels of the data set [B, ...].

        With `pokes` there are also the arrays of a poke (`input/pipeline.py`), which depends only on the clip.

        Raises:
            UserError: a video cannot be read.
        """
        rows = [self._read(example_id) for example_id in example_ids]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def spare(self, protocol: Protocol, seed: int, count: int) -> Self:
        """Returns a reader of `count` more clips of the same split, without pokes; see `spare_clips`."""
        videos = [(name, self.source.num_frames(video)) for name, video in self.videos.items()]
        listed = spare_clips(protocol, videos, seed, self.listed.clips[:count])
        return dataclasses.replace(self, listed=listed, pokes=None)

    def raw_clip(self, example_id: int) -> RawClip:
        """Reads a clip, x0 first; its `rng` depends only on the clip."""
        clip = self.clip(example_id)
        video = self.videos[clip.video]
        pixels = self.source.read(video, clip.indices, transforms.least_size(self.size, self.resize))
        crop = transforms.eval_crop(self.crop)
        digest = hashlib.sha256(f"{clip.video}/{clip.start}".encode()).digest()
        return RawClip(
            video=video,
            indices=clip.indices,
            pixels=transforms.fit(pixels, self.size, crop, kind=self.resize),
            labels=self.source.labels(video, clip.indices),
            crop=crop,
            crop_offset=(0.5, 0.5),
            rng=np.random.default_rng(int.from_bytes(digest[:8])),
        )

    def _read(self, example_id: int) -> dict[str, Any]:
        raw = self.raw_clip(example_id)
        row = {"video": from_levels(raw.pixels), **raw.labels}
        if self.pokes is None:
            return row
        poked = dataclasses.replace(raw, indices=raw.indices[: self.poke_frames], pixels=raw.pixels[: self.poke_frames])
        return {**row, **self.pokes.poke(poked, raw.rng)}


def open_clips(
    data: ConfigDict, protocol: Protocol, split: str, *, seed: int = 0, paired: bool = False, limit: int = 0
) -> ClipReader:
    """Opens the clips that a protocol takes from a split.

    Args:
        data: the `data` part of a configuration.
        protocol: which clips.
        split: "train", "eval" or "test".
        seed, paired, limit: see `clip_list`.

    Raises:
        UserError: the data set was not prepared, or no video is long enough.
    """
    data, poke_frames = data.copy_and_resolve_references(), data.frames
    data.frames, data.frame_stride = 1 + protocol.clip_frames, protocol.stride
    source = open_split(data, split)
    names = [(source.name(video), source.num_frames(video)) for video in range(len(source))]
    listed = clip_list(protocol, names, seed, paired, limit)
    videos = {name: video for video, (name, _) in enumerate(names)}
    pokes = _pokes(data, source, poke_frames)
    return ClipReader(source, listed, videos, data.size, data.crop, data.resize, pokes, poke_frames)


def _pokes(data: ConfigDict, source: VideoSource, frames: int) -> ClipPokes | None:
    """Returns pokes of what moves in clips of `frames` frames, never of the background.

    Stored flow is used where it was stored, like in training; the flow of other clips is estimated.
    """
    if "poke" not in data:
        return None
    data = data.copy_and_resolve_references()
    data.frames = frames
    settings, store = dataclasses.replace(PokeSettings.of(data.poke), zeropoke_amount=0), None
    if settings.flow == "stored" and isinstance(source, RecordSource):
        store, distance = FlowStore(source.folder, source.stored_splits), settings.distance(data)
        if store.missing(distance):
            logger.warning(
                f"{data.name}/{source.split}: no flow over {distance} frames is stored, so pokes are drawn from flow "
                f"estimated by DIS: run {command('prepare', '--flow=dis', f'--flow_distance={distance}', '...')}"
            )
    return ClipPokes.of(data, settings, source, store)
