"""Maps a position in the stream of clips to a clip with a poke: optical flow, poke, augmentation."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import masks, patches, pokes, transforms
from i2v_jax.input.clip_pokes import ClipPokes, PokeSettings
from i2v_jax.input.clips import ClipOrder, Place, RawClip, ReadClip

_POKE, _ANOTHER, _MARKED = 3, 4, 5  # streams of random numbers, in addition to those of `clips`
_TRIES = 20  # clips to try until one has motion


@dataclasses.dataclass(frozen=True)
class PokeKind:
    """What all clips of a batch have in common, in a training on clips of varying length."""

    frames: int  # including the start frame
    is_background: bool
    within: tuple[float, float] | None  # see `pokes.foreground`


@dataclasses.dataclass(frozen=True)
class ReadPokedClip:
    """Maps a position to one clip with a poke: `ReadClip` for models that answer to pokes.

    Random draws depend on the seed and on the place of the clip, in evaluation only on the clip. In training a clip
    without motion is replaced by another one; in evaluation it is marked as not valid.
    """

    clips: ReadClip
    pokes: ClipPokes

    @property
    def order(self) -> ClipOrder:
        return self.clips.order

    def in_order(self, order: ClipOrder) -> "ReadPokedClip":
        """Returns a reader of the same clips in another order."""
        return dataclasses.replace(self, clips=self.clips.in_order(order))

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shape and type of every array of a clip."""
        size = self.clips.size
        arrays: dict[str, tuple[Any, tuple[int, ...]]] = {
            "video": (np.uint8, (self.clips.frames, size, size, 3)),
            "poke": (np.float32, (size, size, 2)),
            "poke_position": (np.int32, (2,)),
            "poke_displacement": (np.float32, (2,)),
            "is_background": (np.bool_, ()),
        }
        if self.order.train and self.settings.patch != "none":
            arrays["patch"] = (np.int32, (4,))
        if not self.order.train:
            arrays |= {"flow": (np.float32, (size, size, 2)), "index": (np.int64, ()), "valid": (np.bool_, ())}
            if self.pokes.masked:
                arrays["mask"] = (np.int32, (size, size))
        return {name: jax.ShapeDtypeStruct(shape, np.dtype(dtype)) for name, (dtype, shape) in arrays.items()}

    def __call__(self, position: int) -> dict[str, Any]:
        return self.read(self.order.at(int(position)))

    def read(
        self,
        place: Place,
        kind: PokeKind | None = None,
        another: Callable[[np.random.Generator], int] | None = None,
    ) -> dict[str, Any]:
        """Returns the arrays of a clip.

        Args:
            place: which clip, and what random draws depend on.
            kind: that of its batch.
            another: draws a clip in place of one without motion; by default any of the split.
        """
        train = self.order.train
        raw, flow, found = self._with_motion(place, kind, another)
        drawn = place if train else Place(0, place.clip)
        rng = drawn.rng(self.order.seed if train else 0, _POKE)
        mask, pixels, patch = self.pokes.mask(raw), raw.pixels[: kind.frames if kind else None], {}
        if train:
            pixels, flows, mask = self._augment(pixels, self.pokes.flows(raw, flow), mask, rng)
            flow, patch = flows[0], self._patch(pixels, flows)
        mask = self.pokes.segmented(mask, pixels[0])
        is_background = kind.is_background if kind else self._on_background(drawn)
        poke = self.pokes.draw(flow, mask, rng, is_background, kind.within if kind else None)
        if poke["is_background"]:
            pixels, flow = np.broadcast_to(pixels[:1], pixels.shape), np.zeros_like(flow)
        example = {"video": pixels, **poke, **patch}
        if not train:
            example |= {"flow": flow, "index": np.int64(place.clip), "valid": np.bool_(place.valid and found)}
            if mask is not None:
                example["mask"] = mask
        return example

    @property
    def settings(self) -> PokeSettings:
        return self.pokes.settings

    def _on_background(self, place: Place) -> bool:
        """Returns whether a clip is among those whose poke is on the background: a part of all, drawn each epoch."""
        order, amount = self.order, self.settings.zeropoke_amount
        if amount == 0:
            return False
        ranks = _ranks(order.seed if order.train else 0, place.epoch, order.num_clips)
        return bool(ranks[(place.clip + place.again) % order.num_clips] < order.num_clips // amount)

    def _with_motion(
        self, place: Place, kind: PokeKind | None, another: Callable[[np.random.Generator], int] | None
    ) -> tuple[RawClip, np.ndarray, bool]:
        """Returns a clip, its flow, and whether anything moves in it."""
        frames = kind.frames if kind and self.settings.flow != "dis" else None  # estimates need the end of the flow
        for attempt in range(_TRIES if self.order.train else 1):
            raw = self.clips.raw_clip(place, frames)
            flow = self.pokes.flow(raw)
            if pokes.moves(flow, self.settings.poke_size, self.settings.min_motion):
                return raw, flow, True
            rng = place.rng(self.order.seed, attempt, _ANOTHER)
            place = place._replace(clip=another(rng) if another else int(rng.integers(self.order.num_clips)))
        if self.order.train:
            raise UserError(
                f"nothing moves by {self.settings.min_motion} pixels from first to last frame in {_TRIES} clips "
                f"(the last one is from video '{self.clips.source.name(raw.video)}'): remove videos without motion, "
                "raise data.frame_stride or lower data.poke.min_motion",
                "data.poke.min_motion",
                self.settings.min_motion,
            )
        return raw, flow, False

    def _augment(
        self, pixels: np.ndarray, flows: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Augments a clip, its flows [N, S, S, 2] and its mask together: flip, geometry and color."""
        if rng.random() < self.clips.augmentation.flip:
            pixels, flows = pixels[:, :, ::-1], flows[:, :, ::-1] * np.array([-1.0, 1.0], np.float32)
            mask = None if mask is None else mask[:, ::-1]
        if rng.random() < self.settings.geometry_probability:
            settings, size = self.settings, self.clips.size
            width = size if settings.whole_pixels else 0
            geometry = transforms.draw_geometry(settings.rotation, settings.shift, rng, width)
            pixels = geometry.pixels(np.ascontiguousarray(pixels))
            flows = np.stack([geometry.flow(flow) for flow in flows])
            mask = None if mask is None else geometry.labels(mask)
        if rng.random() < self.settings.color_probability:
            pixels = self.clips.augmentation.jitter(pixels, rng)
        return pixels, flows, mask

    def _patch(self, pixels: np.ndarray, flows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the rectangle that the losses see of a clip, if they do not see all of it; see `patches`."""
        settings = self.settings
        match settings.patch:
            case "flow":
                shown = [patches.moving(flow) for flow in flows]
            case "mask":
                frames = (pixels[frame] for frame in patches.looked_at(len(pixels)))
                shown = [masks.grabcut(frame, settings.poke_size, settings.mask_size) for frame in frames]
            case _:
                return {}
        return {"patch": patches.rectangle(shown)}


@functools.lru_cache(maxsize=4)
def _ranks(seed: int, epoch: int, length: int) -> np.ndarray:
    """Returns a permutation for each epoch."""
    return np.random.default_rng([seed, epoch, 0, _MARKED]).permutation(length)
