"""From a position in the stream of clips to the clip: which video, which frames, how changed.

Runs inside the reading workers.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import directions, transforms
from i2v_jax.input.sources import LABELS, VideoSource

# Streams of random numbers. The draws of a clip depend on (seed, epoch, clip) and on nothing else.
_ORDER, _CLIP = 1, 2


@dataclasses.dataclass(frozen=True)
class ClipOrder:
    """The endless sequence of clips that all hosts share; `position // global batch size` is the step.

    In training every epoch is a new permutation, cut to whole batches. In evaluation the clips come in order, and the
    last batch is filled up by clips that are marked as not valid.
    """

    num_clips: int
    batch_size: int
    seed: int
    train: bool

    @property
    def steps_per_epoch(self) -> int:
        return self.num_clips // self.batch_size if self.train else -(-self.num_clips // self.batch_size)

    def at(self, position: int) -> tuple[int, int, bool]:
        """(epoch, clip, valid)."""
        epoch, place = divmod(position, self.steps_per_epoch * self.batch_size)
        if self.train:
            return epoch, int(_permutation(self.seed, epoch, self.num_clips)[place]), True
        return epoch, place % self.num_clips, place < self.num_clips


@dataclasses.dataclass(frozen=True)
class WeightedOrder(ClipOrder):
    """Training clips drawn with replacement so that every object is equally likely, however many clips it has."""

    objects: tuple[tuple[int, ...], ...]  # the clips of each object

    def at(self, position: int) -> tuple[int, int, bool]:
        """(epoch, clip, valid)."""
        epoch, place = divmod(position, self.steps_per_epoch * self.batch_size)
        rng = np.random.default_rng([self.seed, epoch, place, _ORDER])
        clips = self.objects[int(rng.integers(len(self.objects)))]
        return epoch, clips[int(rng.integers(len(clips)))], True


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0, _ORDER]).permutation(length)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The changes of a training clip, see `transforms`."""

    flip: float  # probability
    jitter: Mapping[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A clip as it was cut out of its video, before any augmentation."""

    video: int
    indices: range  # of its frames
    pixels: np.ndarray  # uint8 [T, size, size, 3]
    labels: Mapping[str, Any]
    crop: str  # how frames were brought to a square, and where, see `transforms.fit`
    place: tuple[float, float]
    rng: np.random.Generator  # for what follows


@dataclasses.dataclass(frozen=True)
class ReadClip:
    """Position -> one clip of the batch, a dict of arrays.

    Clip c is number c % clips_per_video of video c // clips_per_video. Training draws where it starts; evaluation
    spaces the clips of a video evenly.
    """

    source: VideoSource
    videos: tuple[int, ...]  # those long enough
    order: ClipOrder
    clips_per_video: int
    frames: int
    stride: int
    size: int
    crop: str
    augmentation: Augmentation

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of a clip. A mirrored robot has no valid position: no endpoints where clips may be flipped."""
        flips = self.order.train and self.augmentation.flip > 0
        return tuple(name for name in self.source.label_names if not (flips and name == "endpoint"))

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and type of every array of a clip."""
        arrays: dict[str, tuple[Any, tuple[int, ...]]] = {"video": (np.float32, (self.frames, self.size, self.size, 3))}
        arrays |= {name: LABELS[name] for name in self.label_names}
        if not self.order.train:
            arrays |= {"index": (np.int64, ()), "valid": (np.bool_, ())}
        return {name: jax.ShapeDtypeStruct(shape, np.dtype(dtype)) for name, (dtype, shape) in arrays.items()}

    def __call__(self, position: int) -> dict[str, Any]:
        epoch, clip, valid = self.order.at(int(position))
        cut = self.cut(epoch, clip)
        pixels, example = cut.pixels, {name: cut.labels[name] for name in self.label_names}
        if self.order.train:
            pixels, example = self._augment(pixels, example, cut.rng)
        else:
            example |= {"index": np.int64(clip), "valid": np.bool_(valid)}
        return {"video": transforms.to_float(pixels), **example}

    def cut(self, epoch: int, clip: int) -> Cut:
        """Reads a clip; where it begins and how it is cropped is drawn from (seed, epoch, clip)."""
        rng = np.random.default_rng([self.order.seed, epoch, clip, _CLIP])
        video, number = self.videos[clip // self.clips_per_video], clip % self.clips_per_video
        start = self._start(video, number, float(rng.random()))
        indices = range(start, start + self.span, self.stride)
        labels = self.source.labels(video, indices)
        pixels = self.source.read(video, indices, self.size)
        place = (float(rng.random()), float(rng.random()))
        pixels = transforms.fit(pixels, self.size, self._crop(), place)
        return Cut(video, indices, pixels, labels, self._crop(), place, rng)

    @property
    def span(self) -> int:
        """Frames of the video from the first to the last of the clip."""
        return (self.frames - 1) * self.stride + 1

    def _start(self, video: int, number: int, draw: float) -> int:
        room = self.source.num_frames(video) - self.span
        if self.order.train:
            return int(draw * (room + 1))
        return round(room * number / (self.clips_per_video - 1)) if self.clips_per_video > 1 else 0

    def _crop(self) -> str:
        return self.crop if self.order.train else transforms.steady(self.crop)

    def _augment(
        self, pixels: np.ndarray, labels: dict[str, Any], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if rng.random() < self.augmentation.flip:
            pixels = pixels[:, :, ::-1]
            if "direction" in labels:
                labels["direction"] = np.int32(directions.mirrored_bin(int(labels["direction"])))
        return transforms.jitter(pixels, self.augmentation.jitter, rng), labels


def long_enough(source: VideoSource, span: int) -> tuple[int, ...]:
    """The videos that hold a clip of `span` frames.

    Raises:
        UserError: there is none.
    """
    chosen = tuple(video for video in range(len(source)) if source.num_frames(video) >= span)
    if not chosen:
        raise UserError(
            f"none of the {len(source)} videos has the {span} frames that a clip needs: "
            "lower data.frame_stride or add longer videos"
        )
    return chosen
