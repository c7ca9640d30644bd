"""Position of the stream -> one clip with a poke: flow, poke, augmentation, in the order of `clips`."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.input import flow as optical_flow
from i2v_jax.input import pokes, transforms
from i2v_jax.input.clips import ClipOrder, Cut, ReadClip
from i2v_jax.input.sources import VideoSource

FLOWS = ("dis", "stored", "exact")
FILLS = ("value", "patch")
NORMALIZATIONS = ("none", "impulse")
_POKE, _ANOTHER = 3, 4  # streams of random numbers, beside those of `clips`
_TRIES = 20  # clips looked at in search of motion


@runtime_checkable
class KnownMotion(Protocol):
    """A source that knows what moves where."""

    def true_flow(self, video: int, start: int, end: int) -> np.ndarray:
        """float32 [H, W, 2], from frame `start` to frame `end`."""

    def true_mask(self, video: int, frame: int) -> np.ndarray:
        """int32 [H, W], numbers of objects, 0 is the background."""


@dataclasses.dataclass(frozen=True)
class PokeSettings:
    """The fields of `data.poke`, except those on which the order of clips depends."""

    flow: str  # "dis": estimated while reading; "stored": by launch.prepare; "exact": of embedded data sets
    poke_size: int  # side of the square
    fill: str  # the square has one "value", or the "patch" of the flow
    zeropoke_amount: int  # one poke in so many is on the background; 0: none, 1: all
    normalize: str  # "none", or "impulse": displacements are directions whose length is the clip's amount of motion
    impulse_motion: float  # mean pixels per frame for which an impulse has length 1
    min_motion: float  # clips in which nothing moves by so many pixels are not poked
    color_probability: float
    geometry_probability: float
    rotation: float  # degrees at most
    shift: float  # frame widths at most

    @classmethod
    def of(cls, poke: ConfigDict) -> "PokeSettings":
        """From the configuration.

        Raises:
            UserError: a field has a value that is not allowed.
        """
        for field, allowed in (("flow", FLOWS), ("fill", FILLS), ("normalize", NORMALIZATIONS)):
            if poke[field] not in allowed:
                raise UserError(f"data.poke.{field}={poke[field]!r}: must be one of {', '.join(allowed)}")
        if poke.poke_size < 1 or poke.poke_size % 2 == 0:
            raise UserError(f"data.poke.poke_size={poke.poke_size}: must be odd, 3 at 64x64 and 5 at 128x128")
        if poke.zeropoke_amount < 0:
            raise UserError(f"data.poke.zeropoke_amount={poke.zeropoke_amount}: 0 is never, n one poke in n")
        shared = ("flow", "poke_size", "fill", "zeropoke_amount", "normalize", "impulse_motion", "min_motion")
        return cls(
            **{field: poke[field] for field in (*shared, "color_probability")},
            geometry_probability=poke.geometry.probability,
            rotation=poke.geometry.rotation,
            shift=poke.geometry.shift,
        )


@dataclasses.dataclass(frozen=True)
class ClipPokes:
    """What a clip of a source is poked with."""

    source: VideoSource
    settings: PokeSettings
    size: int
    store: optical_flow.FlowStore | None = None  # for flow="stored"

    def poke(self, cut: Cut, rng: np.random.Generator) -> Mapping[str, Any]:
        """The arrays of one poke of a clip as it is."""
        return self.draw(self.flow(cut), self.mask(cut), self.impulse(cut), rng)

    def flow(self, cut: Cut) -> np.ndarray:
        """Between the first and the last frame, float32 [size, size, 2]."""
        if self.store is not None:
            return optical_flow.fit(self.store.read(cut.video, cut.indices[0]), self.size, cut.crop, cut.place)
        return self._between(cut, 0, len(cut.indices) - 1)

    def _between(self, cut: Cut, first: int, second: int) -> np.ndarray:
        source = self.source
        if self.settings.flow == "exact" and isinstance(source, KnownMotion):
            return source.true_flow(cut.video, cut.indices[first], cut.indices[second])
        return optical_flow.estimate(cut.pixels[first], cut.pixels[second])

    def mask(self, cut: Cut) -> np.ndarray | None:
        """Objects in the first frame, int32 [size, size], where the source knows them."""
        source = self.source
        return source.true_mask(cut.video, cut.indices[0]) if isinstance(source, KnownMotion) else None

    def impulse(self, cut: Cut) -> float | None:
        """How long an impulse is, in [0, 1]: the mean motion between consecutive frames (appendix B, equation 10).

        None where displacements are not normalized.
        """
        if self.settings.normalize != "impulse":
            return None
        pairs = itertools.pairwise(range(len(cut.indices)))
        motion = np.mean([pokes.amplitude_of(self._between(cut, first, second)).mean() for first, second in pairs])
        return min(float(motion) / self.settings.impulse_motion, 1.0)

    def draw(
        self, flow: np.ndarray, mask: np.ndarray | None, impulse: float | None, rng: np.random.Generator
    ) -> Mapping[str, Any]:
        """The poke's arrays; `impulse` is its length unless None."""
        settings = self.settings
        is_background = settings.zeropoke_amount > 0 and rng.random() * settings.zeropoke_amount < 1.0
        poke = pokes.draw_poke(flow, settings.poke_size, is_background, rng, mask)
        length = float(np.hypot(*poke.displacement))
        scale = 1.0 if impulse is None or length == 0 else impulse / length
        displacement = (scale * poke.displacement).astype(np.float32)
        # The flow around a background poke says nothing: it takes one value in either case.
        patch = scale * flow if settings.fill == "patch" and not is_background else None
        return {
            "poke": pokes.poke_map(poke.position, displacement, self.size, settings.poke_size, patch),
            "poke_position": np.array(poke.position, np.int32),
            "poke_displacement": displacement,
            "is_background": np.bool_(is_background),
        }


@dataclasses.dataclass(frozen=True)
class ReadPokedClip:
    """Position -> one clip with a poke: `ReadClip` for the poke model.

    The draws depend on (seed, epoch, clip), in evaluation on the clip alone. In training a clip without motion is
    replaced by another one; in evaluation it is marked as not valid.
    """

    clips: ReadClip
    settings: PokeSettings
    store: optical_flow.FlowStore | None = None  # for flow="stored"

    @property
    def order(self) -> ClipOrder:
        return self.clips.order

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and type of every array of a clip."""
        size = self.clips.size
        arrays: dict[str, tuple[Any, tuple[int, ...]]] = {
            "video": (np.float32, (self.clips.frames, size, size, 3)),
            "poke": (np.float32, (size, size, 2)),
            "poke_position": (np.int32, (2,)),
            "poke_displacement": (np.float32, (2,)),
            "is_background": (np.bool_, ()),
        }
        if not self.order.train:
            arrays |= {"flow": (np.float32, (size, size, 2)), "index": (np.int64, ()), "valid": (np.bool_, ())}
            if isinstance(self.clips.source, KnownMotion):
                arrays["mask"] = (np.int32, (size, size))
        return {name: jax.ShapeDtypeStruct(shape, np.dtype(dtype)) for name, (dtype, shape) in arrays.items()}

    def __call__(self, position: int) -> dict[str, Any]:
        epoch, clip, valid = self.order.at(int(position))
        train = self.order.train
        cut, flow, found = self._with_motion(epoch, clip)
        rng = np.random.default_rng([self.order.seed if train else 0, epoch if train else 0, clip, _POKE])
        mask, impulse = self._pokes.mask(cut), self._pokes.impulse(cut)
        pixels = cut.pixels
        if train:
            pixels, flow, mask = self._augment(pixels, flow, mask, rng)
        poke = self._pokes.draw(flow, mask, impulse, rng)
        if poke["is_background"]:
            pixels, flow = np.broadcast_to(pixels[:1], pixels.shape), np.zeros_like(flow)
        example = {"video": transforms.to_float(pixels), **poke}
        if not train:
            example |= {"flow": flow, "index": np.int64(clip), "valid": np.bool_(valid and found)}
            if mask is not None:
                example["mask"] = mask
        return example

    @property
    def _pokes(self) -> ClipPokes:
        return ClipPokes(self.clips.source, self.settings, self.clips.size, self.store)

    def _with_motion(self, epoch: int, clip: int) -> tuple[Cut, np.ndarray, bool]:
        """A clip, its flow, and whether anything moves."""
        for attempt in range(_TRIES if self.order.train else 1):
            cut = self.clips.cut(epoch, clip)
            flow = self._pokes.flow(cut)
            if pokes.moves(flow, self.settings.poke_size, self.settings.min_motion):
                return cut, flow, True
            rng = np.random.default_rng([self.order.seed, epoch, clip, attempt, _ANOTHER])
            clip = int(rng.integers(self.order.num_clips))
        if self.order.train:
            raise UserError(
                f"in none of {_TRIES} clips does anything move by {self.settings.min_motion} pixels from first to last "
                f"frame, the last one of video '{self.clips.source.name(cut.video)}': leave out still videos, raise "
                "data.frame_stride or lower data.poke.min_motion"
            )
        return cut, flow, False

    def _augment(
        self, pixels: np.ndarray, flow: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Flip, geometry and color, each drawn once for the clip, its flow and its mask."""
        if rng.random() < self.clips.augmentation.flip:
            pixels, flow = pixels[:, :, ::-1], flow[:, ::-1] * np.array([-1.0, 1.0], np.float32)
            mask = None if mask is None else mask[:, ::-1]
        if rng.random() < self.settings.geometry_probability:
            geometry = transforms.draw_geometry(self.settings.rotation, self.settings.shift, rng)
            pixels, flow = geometry.pixels(np.ascontiguousarray(pixels)), geometry.flow(flow)
            mask = None if mask is None else geometry.labels(mask)
        if rng.random() < self.settings.color_probability:
            pixels = transforms.jitter(pixels, self.clips.augmentation.jitter, rng)
        return pixels, flow, mask
