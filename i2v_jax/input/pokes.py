"""Pokes for training: drawn from the optical flow between the first and the last frame of a clip.

A foreground poke is a pixel that moves much, and its displacement. A background poke is a pixel that does not, with the
displacement of one that does; its target is the start frame, repeated (poke paper, section 3.2 and appendix E.2).
Pixels are (x, y), displacements (dx, dy) in pixels at the model's resolution, y down.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.input import flow as optical_flow
from i2v_jax.input import transforms
from i2v_jax.input.clips import ClipOrder, Cut, ReadClip
from i2v_jax.input.sources import VideoSource

FLOWS = ("dis", "stored", "exact")
FILLS = ("value", "patch")
NORMALIZATIONS = ("none", "impulse")
_POKE, _ANOTHER = 3, 4  # streams of random numbers, beside those of `clips`
_TRIES = 20  # clips looked at in search of motion
_LOWEST = 0.05  # share of amplitudes that count as background


@dataclasses.dataclass(frozen=True)
class Poke:
    """One poke, what it shows and what it asks for."""

    position: tuple[int, int]
    displacement: np.ndarray  # float32 [2]
    is_background: bool


def foreground(flow: np.ndarray, border: int) -> np.ndarray:
    """The pixels that training pokes, flow float32 [H, W, 2] -> int [N, 2] as (x, y), N >= 1.

    Those at least `border` pixels inside the frame whose amplitude, normalised to [0, 1], lies above mean + 2 standard
    deviations; if there are none, above mean + 1; if there are none, above the mean. All where everything moves alike.
    """
    inner = _inner(_amplitude(flow), border)
    spread = np.ptp(inner)
    amplitude = (inner - inner.min()) / (spread if spread > 0 else 1.0)
    for deviations in (2.0, 1.0, 0.0):
        chosen = amplitude > amplitude.mean() + deviations * amplitude.std()
        if chosen.any():
            return _places(chosen, border)
    return _places(np.ones_like(inner, bool), border)


def background(flow: np.ndarray, border: int, mask: np.ndarray | None = None) -> np.ndarray:
    """The pixels of the background, int [N, 2] as (x, y), N >= 1.

    Those outside the object mask [H, W] (0 is the background) if there is one and it leaves any, else the lowest 5 % of
    amplitudes.
    """
    if mask is not None and (outside := _inner(mask, border) == 0).any():
        return _places(outside, border)
    inner = _inner(_amplitude(flow), border)
    return _places(inner <= np.quantile(inner, _LOWEST), border)


def draw_poke(
    flow: np.ndarray, border: int, is_background: bool, rng: np.random.Generator, mask: np.ndarray | None = None
) -> Poke:
    """Draws a pixel of the foreground and takes its flow; a background poke keeps that and moves elsewhere."""
    pixels = foreground(flow, border)
    x, y = pixels[rng.integers(len(pixels))]
    displacement = flow[y, x].astype(np.float32)
    if is_background:
        pixels = background(flow, border, mask)
        x, y = pixels[rng.integers(len(pixels))]
    return Poke((int(x), int(y)), displacement, is_background)


def poke_map(
    position: tuple[int, int], displacement: np.ndarray, size: int, poke_size: int, flow: np.ndarray | None = None
) -> np.ndarray:
    """The poke as the networks see it: float32 [size, size, 2], zero but in a square around the poked pixel.

    Args:
        position: (x, y).
        displacement: [2], the value of the whole square.
        size: height and width.
        poke_size: side of the square, odd.
        flow: [size, size, 2], fills the square instead when given.
    """
    poke = np.zeros((size, size, 2), np.float32)
    (x, y), half = position, poke_size // 2
    square = slice(max(0, y - half), y + half + 1), slice(max(0, x - half), x + half + 1)
    poke[square] = displacement if flow is None else flow[square]
    return poke


def check_position(position: tuple[float, float], width: int, height: int) -> None:
    """Whether a place lies in an image of `width` x `height`; pixel (0, 0) has its middle at (0, 0).

    Raises:
        UserError: it does not, or is no number.
    """
    x, y = (float(value) for value in position)
    if not np.isfinite([x, y]).all():
        raise UserError(f"position {x:g},{y:g}: x and y must be finite numbers")
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise UserError(f"position {x:g},{y:g} is outside the image of {width}x{height} pixels")


def check_poke(position: tuple[float, float], displacement: tuple[float, float], width: int, height: int) -> None:
    """Whether a user's poke is one, in pixels of an image of `width` x `height`.

    Raises:
        UserError: as `check_position`; a displacement that is no number, zero, or longer than the image's diagonal.
    """
    check_position(position, width, height)
    dx, dy = (float(value) for value in displacement)
    length, told = float(np.hypot(dx, dy)), f"displacement {dx:g},{dy:g}"
    if not np.isfinite([dx, dy]).all():
        raise UserError(f"{told}: dx and dy must be finite numbers")
    if length == 0:
        raise UserError(f"{told}: there is nothing to answer: give dx or dy")
    if length > np.hypot(width, height):
        raise UserError(f"{told}: it is {length:.0f} pixels long, the image is {width}x{height}")


def moves(flow: np.ndarray, border: int, least: float) -> bool:
    """Whether anything inside the border moves by `least` pixels or more."""
    return bool(_inner(_amplitude(flow), border).max() >= least)


def _amplitude(flow: np.ndarray) -> np.ndarray:
    return np.hypot(flow[..., 0], flow[..., 1])


def _inner(image: np.ndarray, border: int) -> np.ndarray:
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def _places(chosen: np.ndarray, border: int) -> np.ndarray:
    return np.argwhere(chosen)[:, ::-1] + border


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

        None where displacements are not normalised.
        """
        if self.settings.normalize != "impulse":
            return None
        pairs = itertools.pairwise(range(len(cut.indices)))
        motion = np.mean([_amplitude(self._between(cut, first, second)).mean() for first, second in pairs])
        return min(float(motion) / self.settings.impulse_motion, 1.0)

    def draw(
        self, flow: np.ndarray, mask: np.ndarray | None, impulse: float | None, rng: np.random.Generator
    ) -> Mapping[str, Any]:
        """The poke's arrays; `impulse` is its length unless None."""
        settings = self.settings
        is_background = settings.zeropoke_amount > 0 and rng.random() * settings.zeropoke_amount < 1.0
        poke = draw_poke(flow, settings.poke_size, is_background, rng, mask)
        length = float(np.hypot(*poke.displacement))
        scale = 1.0 if impulse is None or length == 0 else impulse / length
        displacement = (scale * poke.displacement).astype(np.float32)
        # The flow around a background poke says nothing: it takes one value in either case.
        patch = scale * flow if settings.fill == "patch" and not is_background else None
        return {
            "poke": poke_map(poke.position, displacement, self.size, settings.poke_size, patch),
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
            if moves(flow, self.settings.poke_size, self.settings.min_motion):
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
        """Flip, geometry and colour, each drawn once for the clip, its flow and its mask."""
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
