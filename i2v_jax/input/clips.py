"""Maps a position in the stream of clips to a clip: which video, which frames, and how they are augmented.

This code runs in the worker processes that read data.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.input.colors import Jitter
from i2v_jax.input.labels import get_label
from i2v_jax.input.sources import VideoSource

# Where the clips of a video start. first: at its beginning. even: spread evenly over it. random: drawn from it.
StartRule = Literal["first", "even", "random"]

# Streams of random numbers. The draws of a clip depend only on the seed and its `Place`.
_ORDER, _CLIP = 1, 2


class Place(NamedTuple):
    """The clip at a position of the stream, and what its random draws depend on."""

    epoch: int
    clip: int
    valid: bool = True  # whether it is not there only to fill up a batch
    again: int = 0  # tells the times apart that an epoch shows the clip

    def rng(self, seed: int, *stream: int) -> np.random.Generator:
        """Returns the random numbers of a stream for this clip, this time."""
        again = (self.again,) if self.again else ()
        return np.random.default_rng([seed, self.epoch, self.clip, *again, *stream])


@dataclasses.dataclass(frozen=True)
class ClipOrder:
    """The infinite sequence of clips that all hosts share; `position // batch_size` is the step.

    In training every epoch is a new permutation, truncated to whole batches, or without `drop_last` extended to whole
    batches by its first clips. In evaluation the clips are in order, and the last batch is padded with clips that are
    marked as not valid.
    """

    num_clips: int
    batch_size: int  # over all hosts
    seed: int
    train: bool
    drop_last: bool = True  # in training

    @property
    def steps_per_epoch(self) -> int:
        whole = self.num_clips // self.batch_size
        return whole if self.train and self.drop_last else -(-self.num_clips // self.batch_size)

    def at(self, position: int) -> Place:
        """Returns what is at a position."""
        epoch, index = divmod(position, self.steps_per_epoch * self.batch_size)
        again, index = divmod(index, self.num_clips)
        if self.train:
            clip = int(_permutation(self.seed, epoch, self.num_clips)[index])
            return Place(epoch, clip, again=again)
        return Place(epoch, index, valid=not again)


@dataclasses.dataclass(frozen=True)
class WeightedOrder(ClipOrder):
    """Training clips that are drawn with replacement, so that every object is equally likely."""

    objects: tuple[np.ndarray, ...] = ()  # the clips of each object

    def at(self, position: int) -> Place:
        """Returns what is at a position."""
        epoch, index = divmod(position, self.steps_per_epoch * self.batch_size)
        rng = np.random.default_rng([self.seed, epoch, index, _ORDER])
        clips = self.objects[int(rng.integers(len(self.objects)))]
        return Place(epoch, int(clips[int(rng.integers(len(clips)))]), again=index)


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 0, _ORDER]).permutation(length)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training clips are augmented."""

    flip: float  # probability of a horizontal flip
    jitter: Jitter
    margin: int = 0  # pixels, of `transforms.fit`


@dataclasses.dataclass(frozen=True, eq=False)
class RawClip:
    """A clip before any augmentation."""

    video: int
    indices: range  # of its frames in the video
    pixels: np.ndarray  # uint8 [T, size, size, 3], of the first T of them
    labels: Mapping[str, Any]
    crop: str  # arguments of `transforms.fit` that made the frames square
    crop_offset: tuple[float, float]
    rng: np.random.Generator  # for the augmentation


@dataclasses.dataclass(frozen=True)
class ReadClip:
    """Maps a position to one clip of a batch, a dict of arrays; its video has levels, uint8 [T, size, size, 3].

    The clips of a video follow each other. In training each has a random start; in evaluation `starts` says where.
    With `clips_per_video=0` there is one clip for each frame of a video, which starts there, or as late as it can.
    """

    source: VideoSource
    videos: tuple[int, ...]  # those that are long enough, each as often as it counts
    order: ClipOrder
    clips_per_video: int
    frames: int
    stride: int
    size: int
    crop: str
    augmentation: Augmentation
    resize: str = "area"
    starts: StartRule = "even"  # in evaluation

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of a clip. Clips that may be flipped have those whose mirror image is known."""
        flips = self.order.train and self.augmentation.flip > 0
        return tuple(name for name in self.source.label_names if get_label(name).mirror or not flips)

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shape and type of every array of a clip."""
        arrays: dict[str, tuple[Any, tuple[int, ...]]] = {"video": (np.uint8, (self.frames, self.size, self.size, 3))}
        arrays |= {name: (get_label(name).dtype, get_label(name).shape) for name in self.label_names}
        if not self.order.train:
            arrays |= {"index": (np.int64, ()), "valid": (np.bool_, ())}
        return {name: jax.ShapeDtypeStruct(shape, np.dtype(dtype)) for name, (dtype, shape) in arrays.items()}

    def in_order(self, order: ClipOrder) -> "ReadClip":
        """Returns a reader of the same clips in another order."""
        return dataclasses.replace(self, order=order)

    def __call__(self, position: int) -> dict[str, Any]:
        place = self.order.at(int(position))
        raw = self.raw_clip(place)
        pixels, example = raw.pixels, {name: raw.labels[name] for name in self.label_names}
        if self.order.train:
            pixels, example = self._augment(pixels, example, raw.rng)
        else:
            example |= {"index": np.int64(place.clip), "valid": np.bool_(place.valid)}
        return {"video": pixels, **example}

    def raw_clip(self, place: Place, frames: int | None = None) -> RawClip:
        """Reads a clip, or its first `frames` frames. Its start and its crop are drawn for `place`."""
        rng = place.rng(self.order.seed, _CLIP)
        number = int(np.searchsorted(self._ends, place.clip, side="right"))
        video = self.videos[number]
        index = place.clip - (int(self._ends[number - 1]) if number else 0)
        start = self._start(video, index, float(rng.random()))
        indices = range(start, start + self.span, self.stride)
        labels = self.source.labels(video, indices)
        margin = self.augmentation.margin if self.order.train else 0
        pixels = self.source.read(video, indices[:frames], transforms.least_size(self.size + margin, self.resize))
        crop_offset = (float(rng.random()), float(rng.random()))
        pixels = transforms.fit(pixels, self.size, self._crop(), crop_offset, kind=self.resize, margin=margin)
        return RawClip(video, indices, pixels, labels, self._crop(), crop_offset, rng)

    @property
    def span(self) -> int:
        """The number of frames of the video from the first to the last frame of the clip."""
        return (self.frames - 1) * self.stride + 1

    def starts_of(self, video: int) -> np.ndarray:
        """Returns the starts of the clips of a video that has one for each frame, int [clips]."""
        frames = self.source.num_frames(video)
        return np.minimum(np.arange(frames), frames - self.span)

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        """For each of `videos`, the number of clips up to its last one."""
        return np.cumsum(clip_counts(self.source, self.videos, self.clips_per_video))

    def _start(self, video: int, index: int, draw: float) -> int:
        room = self.source.num_frames(video) - self.span
        if self.clips_per_video == 0:
            return min(index, room)
        match "random" if self.order.train else self.starts:
            case "random":
                return int(draw * (room + 1))
            case "even" if self.clips_per_video > 1:
                return round(room * index / (self.clips_per_video - 1))
        return 0

    def _crop(self) -> str:
        return self.crop if self.order.train else transforms.eval_crop(self.crop)

    def _augment(
        self, pixels: np.ndarray, labels: dict[str, Any], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if rng.random() < self.augmentation.flip:
            pixels = pixels[:, :, ::-1]
            mirrors = {name: get_label(name).mirror for name in labels}
            labels = {name: mirror(labels[name]) for name, mirror in mirrors.items() if mirror}
        return self.augmentation.jitter(pixels, rng), labels


def clip_counts(source: VideoSource, videos: Sequence[int], clips_per_video: int) -> np.ndarray:
    """Returns the number of clips of each video, int [V]: `clips_per_video`, or that of its frames if it is 0."""
    return np.array([clips_per_video or source.num_frames(video) for video in videos], np.int64)


def long_enough(source: VideoSource, span: int) -> tuple[int, ...]:
    """Returns the videos that have at least `span` frames. Raises UserError if there are none."""
    chosen = tuple(video for video in range(len(source)) if source.num_frames(video) >= span)
    if not chosen:
        raise UserError(
            f"none of the {len(source)} videos has the {span} frames that a clip needs: "
            "lower data.frame_stride or add longer videos",
            "data.frame_stride",
        )
    return chosen
