"""Resizing, cropping and moving clips. Every random choice is made once per clip and shared by its frames."""

import dataclasses

import cv2
import numpy as np

from i2v_jax.errors import UserError

CROPS = ("resize", "center", "random")
RESIZES = ("area", "release")


def check_crop(crop: str) -> None:
    """Raises UserError unless `crop` is one of `CROPS`."""
    if crop not in CROPS:
        raise UserError(f"unknown crop {crop!r}: choose from {', '.join(CROPS)}", "data.crop", crop)


def eval_crop(crop: str) -> str:
    """Returns the crop outside of training: "center" for "random". Raises UserError for an unknown crop."""
    check_crop(crop)
    return "resize" if crop == "resize" else "center"


def resize(image: np.ndarray, height: int, width: int, kind: str = "area") -> np.ndarray:
    """Resizes an image.

    Args:
        image: uint8 [h, w, 3].
        height, width: of the result.
        kind: "area" averages where the image shrinks, and is bilinear otherwise. "release" is bilinear in both cases,
            as the authors' releases resize: where the image shrinks by more than 2, some of its pixels do not count.

    Returns:
        uint8 [height, width, 3].
    """
    if image.shape[:2] == (height, width):
        return image
    averages = kind == "area" and image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if averages else cv2.INTER_LINEAR)


def within(height: int, width: int, size: int) -> tuple[int, int]:
    """Returns (height, width) after scaling down, if needed, until the shorter side has `size` pixels."""
    scale = min(1.0, size / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def least_size(size: int, kind: str) -> int:
    """Returns the size to which frames may be reduced while they are decoded, before `resize`; 0: as stored."""
    return size if kind == "area" else 0


def seen(image: np.ndarray, crop: str, crop_offset: tuple[float, float]) -> tuple[slice, slice]:
    """Returns the rows and columns of an image [h, w, ...] that `fit` keeps; the others are its arguments."""
    height, width = image.shape[:2]
    if crop == "resize":
        return slice(0, height), slice(0, width)
    side = min(height, width)
    vertical, horizontal = crop_offset if crop == "random" else (0.5, 0.5)
    top, left = round(vertical * (height - side)), round(horizontal * (width - side))
    return slice(top, top + side), slice(left, left + side)


def fit(
    frames: np.ndarray,
    size: int,
    crop: str,
    crop_offset: tuple[float, float] = (0.5, 0.5),
    *,
    kind: str = "area",
    margin: int = 0,
) -> np.ndarray:
    """Makes frames square.

    Args:
        frames: uint8 [T, h, w, 3].
        size: height and width of the result.
        crop: "resize" squeezes the whole frame; "center" and "random" crop the largest square first.
        crop_offset: offset (vertical, horizontal) of a "random" square and of the square within the margin, as
            fractions of the largest possible offset.
        kind: see `resize`.
        margin: frames are resized to `size` + `margin` pixels, of which a square of `size` is cut out.

    Returns:
        uint8 [T, size, size, 3].
    """
    frames = frames[:, *seen(frames[0], crop, crop_offset)]
    side = size + margin
    if frames.shape[1:3] != (side, side):
        frames = np.stack([resize(frame, side, side, kind) for frame in frames])
    top, left = (min(int(offset * (margin + 1)), margin) for offset in crop_offset)
    return frames[:, top : top + size, left : left + size]


@dataclasses.dataclass(frozen=True)
class Geometry:
    """A rotation about the center of the frame, then a shift. The frame is mirrored beyond its border.

    The point (x, y) of the old frame is at R ((x, y) - c) + c + shift in the new one.
    """

    angle: float  # radians, clockwise on the screen
    shift: tuple[float, float]  # (x, y), frame widths
    nearest: bool = False  # the nearest pixel instead of an interpolation

    def pixels(self, frames: np.ndarray) -> np.ndarray:
        """Transforms frames, uint8 [T, S, S, 3]."""
        x, y = self._sources(frames.shape[1])
        return np.stack([cv2.remap(frame, x, y, self._kind, None, cv2.BORDER_REFLECT_101) for frame in frames])

    def flow(self, flow: np.ndarray) -> np.ndarray:
        """Transforms a flow map, float32 [S, S, 2]; vectors are rotated, and mirrored beyond the border."""
        x, y = self._sources(len(flow))
        moved = cv2.remap(np.ascontiguousarray(flow), x, y, self._kind, None, cv2.BORDER_REFLECT_101)
        side = len(flow) - 1
        mirrored = np.stack([np.floor(x / side) % 2 == 1, np.floor(y / side) % 2 == 1], axis=-1)
        on_border = np.stack([x == side, y == side], axis=-1)
        return np.where(mirrored & ~on_border, -moved, moved) @ self._rotation().T

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Transforms a map of object indices, int32 [S, S], without interpolation."""
        x, y = self._sources(len(image))
        moved = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_NEAREST, None, cv2.BORDER_REFLECT_101)
        return moved.astype(np.int32)

    @property
    def _kind(self) -> int:
        return cv2.INTER_NEAREST if self.nearest else cv2.INTER_LINEAR

    def _rotation(self) -> np.ndarray:
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]], np.float32)

    def _sources(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the old coordinates x and y of each new pixel, float32 [S, S] each."""
        center = (size - 1) / 2
        new = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) - center - size * np.array(self.shift)
        old = new @ self._rotation().astype(np.float64) + center
        return old[..., 0].astype(np.float32), old[..., 1].astype(np.float32)


def draw_geometry(rotation: float, shift: float, rng: np.random.Generator, whole_pixels: int = 0) -> Geometry:
    """Draws a rotation of up to `rotation` degrees and a shift of up to `shift` frame widths along each axis.

    With `whole_pixels`, the frame's width, it is drawn as by the poke model's authors: shifts are integers from -n to
    n - 1, n being `shift` of the width, and pixels are not interpolated.
    """
    angle = float(np.radians(rng.uniform(-rotation, rotation)))
    if not whole_pixels:
        return Geometry(angle, (float(rng.uniform(-shift, shift)), float(rng.uniform(-shift, shift))))
    reach = int(shift * whole_pixels)
    x, y = rng.integers(-reach, reach, 2) / whole_pixels if reach else (0.0, 0.0)
    return Geometry(angle, (float(x), float(y)), nearest=True)
