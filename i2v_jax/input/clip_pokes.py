"""The pokes of clips: their settings, the flow and the masks that they are drawn from, and the unit of impulses."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ml_collections import ConfigDict

from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.input import flow as optical_flow
from i2v_jax.input import masks, patches, pokes
from i2v_jax.input.clips import RawClip
from i2v_jax.input.flow_store import FlowStore
from i2v_jax.input.sources import RecordSource, VideoSource

FLOWS = ("dis", "stored", "exact")
FILLS = ("value", "patch")
NORMALIZATIONS = ("none", "impulse")
MASKS = ("none", "grabcut", "stored")


@runtime_checkable
class KnownMotion(Protocol):
    """A source that knows the exact motion of its videos."""

    @property
    def largest_flow(self) -> float:
        """The length of the longest vector of all flows, in frame widths."""

    def true_flow(self, video: int, start: int, end: int) -> np.ndarray:
        """Returns the flow from frame `start` to frame `end`, float32 [H, W, 2]."""

    def true_mask(self, video: int, frame: int) -> np.ndarray:
        """Returns which object each pixel shows, int32 [H, W]; 0 is the background."""


@dataclasses.dataclass(frozen=True)
class PokeSettings:
    """The fields of `data.poke`, except those on which the order of clips depends."""

    flow: str  # "dis": estimated while reading; "stored": by launch.prepare; "exact": known by the data set
    flow_frames: int  # frames from the start frame to the end of the flow; 0: to the last one of the clip
    poke_size: int  # height and width of the square in the poke map, in pixels
    fill: str  # the square contains one "value", or a "patch" of the flow
    zeropoke_amount: int  # one in this many pokes is on the background; 0: none, 1: all
    mask: str  # "none"; "grabcut": segmented while reading; "stored": by launch.prepare
    patch: str  # what training losses see: "none": whole frames; a rectangle around what moves by "flow" or "mask"
    mask_size: int  # of the frame that is segmented; 0: as the network sees it
    normalize: str  # "none", or "impulse": the flow is divided by its largest length in the data set
    largest_flow: float  # this length in frame widths; 0: that of the stored flow
    min_motion: float  # clips in which nothing moves by this many pixels are not poked
    color_probability: float
    geometry_probability: float
    rotation: float  # maximum in degrees
    shift: float  # maximum in frame widths
    whole_pixels: bool  # shifts are integers, and pixels are not interpolated

    @classmethod
    def of(cls, poke: ConfigDict) -> "PokeSettings":
        """Returns the settings of `config.data.poke`. Raises UserError for an invalid value."""

        def check(field: str, valid: bool, allowed: str) -> None:
            if not valid:
                name = f"data.poke.{field}"
                raise UserError(f"invalid value for {name}: {poke[field]!r} (must be {allowed})", name, poke[field])

        for field, choices in (
            ("flow", FLOWS),
            ("fill", FILLS),
            ("normalize", NORMALIZATIONS),
            ("mask", MASKS),
            ("patch", patches.KINDS),
        ):
            check(field, poke[field] in choices, f"one of {', '.join(choices)}")
        check("poke_size", poke.poke_size >= 1 and poke.poke_size % 2 == 1, "odd, like 3 at 64x64 and 5 at 128x128")
        check("zeropoke_amount", poke.zeropoke_amount >= 0, "0 for no background pokes, or n for one in n pokes")
        shared = {field.name for field in dataclasses.fields(cls)} & set(poke.keys())
        return cls(
            **{field: poke[field] for field in shared},
            geometry_probability=poke.geometry.probability,
            rotation=poke.geometry.rotation,
            shift=poke.geometry.shift,
            whole_pixels=poke.geometry.whole_pixels,
        )

    def distance(self, data: ConfigDict) -> int:
        """Returns how many frames of a video are between the two of the flow, for clips as in `config.data`."""
        return (self.flow_frames or data.frames - 1) * data.frame_stride


def unit_of_impulses(
    settings: PokeSettings, source: VideoSource, store: FlowStore | None, data: ConfigDict
) -> float | None:
    """Returns the length in frame sizes by which flow is divided, None if displacements are not normalized.

    All clips share it, so that impulses keep their relative strengths (poke paper, appendix B.1).

    Args:
        settings: `normalize` and `largest_flow` decide.
        source: of the clips; it may know its motion.
        store: of the stored flow, if there is one.
        data: the `data` part of a configuration, for the clips and their crop.

    Raises:
        UserError: the largest length of the data set is not known.
    """
    if settings.normalize != "impulse":
        return None
    if settings.largest_flow > 0:
        return settings.largest_flow
    if isinstance(source, KnownMotion):
        return source.largest_flow
    if store is None:
        raise UserError(
            "data.poke.normalize=impulse divides the flow by its largest length in the data set, which is known of "
            "stored flow only: set data.poke.largest_flow, in frame widths, or data.poke.flow=stored",
            "data.poke.largest_flow",
            settings.largest_flow,
        )
    in_frame_sizes, in_shorter_sides = store.longest(settings.distance(data))
    return in_frame_sizes if data.crop == "resize" else in_shorter_sides


@dataclasses.dataclass(frozen=True)
class ClipPokes:
    """Draws pokes for the clips of a source."""

    source: VideoSource
    settings: PokeSettings
    size: int
    store: FlowStore | None = None  # for flow="stored"; other flow is estimated
    mask_store: masks.MaskStore | None = None  # for mask="stored"
    unit: float | None = None  # of impulses, see `unit_of_impulses`
    stored_flow: tuple[tuple[str, Any], ...] = ()  # the options that it was made with

    @classmethod
    def of(cls, data: ConfigDict, settings: PokeSettings, source: VideoSource, store: FlowStore | None) -> "ClipPokes":
        """Returns the pokes of clips as in `config.data`.

        Raises:
            UserError: the unit of impulses is not known, or there are no stored masks.
        """
        unit = unit_of_impulses(settings, source, store, data)
        mask_store = _open_masks(data, source) if settings.mask == "stored" else None
        stored = {} if store is None else store.described(settings.distance(data))
        return cls(source, settings, data.size, store, mask_store, unit, tuple(stored.items()))

    @property
    def described(self) -> dict[str, Any]:
        """All that the pokes of a clip depend on besides its pixels, as JSON."""
        return {**dataclasses.asdict(self.settings), "unit": self.unit, "stored_flow": dict(self.stored_flow)}

    def poke(self, raw: RawClip, rng: np.random.Generator) -> Mapping[str, Any]:
        """Returns the arrays of one poke of a clip without augmentation."""
        return self.draw(self.flow(raw), self.segmented(self.mask(raw), raw.pixels[0]), rng)

    def flow(self, raw: RawClip) -> np.ndarray:
        """Returns the flow from the first frame to the last or to `flow_frames`, float32 [size, size, 2]."""
        end = self.settings.flow_frames or len(raw.indices) - 1
        source, first, last = self.source, raw.indices[0], raw.indices[end]
        if self.settings.flow == "exact" and isinstance(source, KnownMotion):
            return source.true_flow(raw.video, first, last)
        if self.store is not None and self.store.has(raw.video, last - first):
            return optical_flow.fit(self.store.read(raw.video, first, last), self.size, raw.crop, raw.crop_offset)
        return optical_flow.estimate(raw.pixels[0], raw.pixels[end])

    def flows(self, raw: RawClip, flow: np.ndarray) -> np.ndarray:
        """Returns the flow of a clip and, for patches, those of its later frames, float32 [N, size, size, 2].

        Each goes as far as that of the poke. The flow of frames without one is the last that was stored, or without a
        store that between the frame and the end of the clip that is farther away.
        """
        found = [flow]
        if self.settings.patch != "flow":
            return np.stack(found)
        count = len(raw.indices)
        distance = raw.indices[self.settings.flow_frames or count - 1] - raw.indices[0]
        for frame in patches.looked_at(count)[1:]:
            if self.store is not None and self.store.has(raw.video, distance):
                first = min(raw.indices[frame], self.store.count(raw.video, distance) - 1)
                stored = self.store.read(raw.video, first, first + distance)
                found.append(optical_flow.fit(stored, self.size, raw.crop, raw.crop_offset))
            else:
                found.append(optical_flow.estimate(raw.pixels[frame], raw.pixels[0 if frame == count - 1 else -1]))
        return np.stack(found)

    def mask(self, raw: RawClip) -> np.ndarray | None:
        """Returns the objects of the first frame, int32 [size, size], or None if they are neither known nor stored."""
        source = self.source
        if isinstance(source, KnownMotion):
            return source.true_mask(raw.video, raw.indices[0])
        if self.mask_store is not None:
            return masks.fit(self.mask_store.read(raw.video, raw.indices[0]), self.size, raw.crop, raw.crop_offset)
        return None

    def segmented(self, mask: np.ndarray | None, frame: np.ndarray) -> np.ndarray | None:
        """Returns `mask`, or without one the objects that GrabCut finds in a frame, uint8 [size, size, 3], if asked."""
        if mask is None and self.settings.mask == "grabcut":
            return masks.grabcut(frame, self.settings.poke_size, self.settings.mask_size)
        return mask

    @property
    def masked(self) -> bool:
        """Whether clips have masks."""
        return self.settings.mask != "none" or isinstance(self.source, KnownMotion)

    def draw(
        self,
        flow: np.ndarray,
        mask: np.ndarray | None,
        rng: np.random.Generator,
        is_background: bool = False,
        within: tuple[float, float] | None = None,
    ) -> Mapping[str, Any]:
        """Returns the arrays of one poke; an impulse has a length in [0, 1]. `within`: see `pokes.foreground`."""
        settings = self.settings
        poke = pokes.draw_poke(flow, settings.poke_size, is_background, rng, mask, within)
        scale = 1.0
        if self.unit is not None:  # estimated flow may be longer than the longest stored one
            scale = 1.0 / max(self.unit * self.size, float(np.hypot(*poke.displacement)))
        displacement = (scale * poke.displacement).astype(np.float32)
        # The flow around a background poke has no meaning, so its square has one value in either case.
        patch = scale * flow if settings.fill == "patch" and not is_background else None
        return {
            "poke": pokes.poke_map(poke.position, displacement, self.size, settings.poke_size, patch),
            "poke_position": np.array(poke.position, np.int32),
            "poke_displacement": displacement,
            "is_background": np.bool_(is_background),
        }


def _open_masks(data: ConfigDict, source: VideoSource) -> masks.MaskStore:
    """Returns the stored masks of a split. Raises UserError if there are none."""
    store = masks.MaskStore(source.folder, source.stored_splits) if isinstance(source, RecordSource) else None
    folders = [store.folder / split for split in store.stored_splits] if store else []
    if store is None or not all(folder.is_dir() for folder in folders):
        where = f"in {' or '.join(map(str, folders))}" if store else f"of {data.name!r}, which is not stored on disk"
        prepare = command("prepare", "--masks=grabcut", "...")
        raise UserError(
            f"data.poke.mask=stored: there are no masks {where}: run {prepare}, or choose grabcut or none",
            "data.poke.mask",
            "stored",
        )
    return store
