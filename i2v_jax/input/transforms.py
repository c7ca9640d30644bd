"""Resizing, cropping and augmentation of clips. Every random choice is made once per clip and shared by its frames."""

import dataclasses
from collections.abc import Mapping

import cv2
import numpy as np

from i2v_jax.errors import UserError

CROPS = ("resize", "center", "random")

# Luma and two color axes (YIQ). With hue as a turn of the color plane, all four changes are affine in RGB.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def check_crop(crop: str) -> None:
    """Raises UserError unless `crop` is one of `CROPS`."""
    if crop not in CROPS:
        raise UserError(f"unknown crop {crop!r}: choose from {', '.join(CROPS)}", "data.crop", crop)


def eval_crop(crop: str) -> str:
    """Returns the crop outside of training: "center" for "random". Raises UserError for an unknown crop."""
    check_crop(crop)
    return "resize" if crop == "resize" else "center"


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes an image [h, w, 3] to [height, width, 3], by area when it shrinks and bilinearly otherwise."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def fit(frames: np.ndarray, size: int, crop: str, crop_offset: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """Makes frames square.

    Args:
        frames: uint8 [T, h, w, 3].
        size: height and width of the result.
        crop: "resize" squeezes the whole frame; "center" and "random" crop the largest square first.
        crop_offset: offset (vertical, horizontal) of a "random" square, as fractions of the largest possible offset.

    Returns:
        uint8 [T, size, size, 3].
    """
    if crop != "resize":
        height, width = frames.shape[1:3]
        side = min(height, width)
        vertical, horizontal = crop_offset if crop == "random" else (0.5, 0.5)
        top, left = round(vertical * (height - side)), round(horizontal * (width - side))
        frames = frames[:, top : top + side, left : left + side]
    if frames.shape[1:3] == (size, size):
        return frames
    return np.stack([resize(frame, size, size) for frame in frames])


def jitter_matrix(strength: Mapping[str, float], rng: np.random.Generator, mean_luma: float) -> np.ndarray:
    """Draws a color augmentation as an affine map of RGB in [0, 255]: float32 [3, 4].

    Brightness scales all values, contrast the distance to the clip's mean luma, saturation the distance to the pixel's
    luma, each by a factor in [1 - s, 1 + s]. Hue rotates the colors by up to `s` of a full circle.
    """
    brightness, contrast, saturation = (
        rng.uniform(max(0.0, 1.0 - strength[name]), 1.0 + strength[name])
        for name in ("brightness", "contrast", "saturation")
    )
    turn = 2.0 * np.pi * rng.uniform(-strength["hue"], strength["hue"])
    cos, sin = saturation * np.cos(turn), saturation * np.sin(turn)
    colors = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    linear = brightness * contrast * (_FROM_YIQ @ colors @ _TO_YIQ)
    offset = brightness * (1.0 - contrast) * mean_luma
    return np.concatenate([linear, np.full((3, 1), offset)], axis=1).astype(np.float32)


def jitter(frames: np.ndarray, strength: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Augments the colors of a clip, uint8 [T, h, w, 3]; see `jitter_matrix`."""
    if not any(strength.values()):
        return frames
    pixels = np.ascontiguousarray(frames).reshape(1, -1, 3)
    mean_luma = float(pixels.reshape(-1, 3).mean(0) @ _TO_YIQ[0])
    return cv2.transform(pixels, jitter_matrix(strength, rng, mean_luma)).reshape(frames.shape)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """A rotation about the center of the frame, then a shift. The frame is mirrored beyond its border.

    The point (x, y) of the old frame is at R ((x, y) - c) + c + shift in the new one.
    """

    angle: float  # radians, clockwise on the screen
    shift: tuple[float, float]  # (x, y), frame widths

    def pixels(self, frames: np.ndarray) -> np.ndarray:
        """Transforms frames, uint8 [T, S, S, 3], with bilinear interpolation."""
        x, y = self._sources(frames.shape[1])
        return np.stack([cv2.remap(frame, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101) for frame in frames])

    def flow(self, flow: np.ndarray) -> np.ndarray:
        """Transforms a flow map, float32 [S, S, 2]; vectors are rotated, and mirrored beyond the border."""
        x, y = self._sources(len(flow))
        moved = cv2.remap(np.ascontiguousarray(flow), x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101)
        side = len(flow) - 1
        mirrored = np.stack([np.floor(x / side) % 2 == 1, np.floor(y / side) % 2 == 1], axis=-1)
        on_border = np.stack([x == side, y == side], axis=-1)
        return np.where(mirrored & ~on_border, -moved, moved) @ self._rotation().T

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Transforms a map of object indices, int32 [S, S], without interpolation."""
        x, y = self._sources(len(image))
        moved = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_NEAREST, None, cv2.BORDER_REFLECT_101)
        return moved.astype(np.int32)

    def _rotation(self) -> np.ndarray:
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]], np.float32)

    def _sources(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the old coordinates x and y of each new pixel, float32 [S, S] each."""
        center = (size - 1) / 2
        new = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) - center - size * np.array(self.shift)
        old = new @ self._rotation().astype(np.float64) + center
        return old[..., 0].astype(np.float32), old[..., 1].astype(np.float32)


def draw_geometry(rotation: float, shift: float, rng: np.random.Generator) -> Geometry:
    """Draws a rotation of up to `rotation` degrees and a shift of up to `shift` frame widths along each axis."""
    angle = np.radians(rng.uniform(-rotation, rotation))
    return Geometry(float(angle), (float(rng.uniform(-shift, shift)), float(rng.uniform(-shift, shift))))
