"""`textures`: a procedural data set of moving patterns whose classes differ only in their motion.

Every clip shows random noise in random colors, from the same distribution in all classes ("kinds"). The kind of a clip
is how its pattern moves: it drifts, rotates, grows, changes in place, sways, or is bent by traveling waves. A clip is a
function of (split, index); its kind is index modulo the number of kinds.

Everything is drawn in units of the frame, so an index shows the same clip at every size.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from i2v_jax.input.procedural.source import SPLIT_SEEDS, ProceduralSource

Floats = NDArray[np.float64]

_GRID = 128  # of the noise, over a torus of two frame widths
_WAVES = (1.5, 6.0)  # the band of the noise, in cycles per torus


def _drift(rng: np.random.Generator, points: Floats, times: Floats) -> tuple[Floats, Floats]:
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.04)
    shift = speed * times[:, None] * np.array([np.cos(angle), np.sin(angle)])
    return points - shift[:, None, None], np.zeros_like(times)


def _rotation(rng: np.random.Generator, points: Floats, times: Floats) -> tuple[Floats, Floats]:
    angles = rng.choice([-1, 1]) * np.radians(rng.uniform(4.5, 7)) * times
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1), np.zeros_like(times)


def _growth(rng: np.random.Generator, points: Floats, times: Floats) -> tuple[Floats, Floats]:
    rate = rng.choice([-1, 1]) * rng.uniform(0.045, 0.07)
    return points * np.exp(-rate * times)[:, None, None, None], np.zeros_like(times)


def _flicker(rng: np.random.Generator, points: Floats, times: Floats) -> tuple[Floats, Floats]:
    return np.broadcast_to(points, (len(times), *points.shape)), 2 * np.pi * times / rng.uniform(16, 28)


def _sway(rng: np.random.Generator, points: Floats, times: Floats) -> tuple[Floats, Floats]:
    angle, reach, period = rng.uniform(0, 2 * np.pi), rng.uniform(0.06, 0.1), rng.uniform(8, 12)
    phase = rng.uniform(0, 2 * np.pi)
    swing = reach * (np.sin(2 * np.pi * times / period + phase) - np.sin(phase))
    shift = swing[:, None] * np.array([np.cos(angle), np.sin(angle)])
    return points - shift[:, None, None], np.zeros_like(times)


def _waves(rng: np.random.Generator, points: Floats, times: Floats) -> tuple[Floats, Floats]:
    angle, reach, period = rng.uniform(0, 2 * np.pi), rng.uniform(0.055, 0.08), rng.uniform(5, 8)
    along = points @ np.array([np.cos(angle), np.sin(angle)]) / rng.uniform(0.25, 0.4)
    bend = reach * np.sin(2 * np.pi * (along - times[:, None, None] / period))
    across = np.array([-np.sin(angle), np.cos(angle)])
    return points + bend[..., None] * across, np.zeros_like(times)


# (random generator, points [S, S, 2] as (x, y) from the center in frame widths, times [T] in frames) -> (the points of
# the still pattern that are visible there [T, S, S, 2], the phase of the change in place [T]).
_Motion = Callable[[np.random.Generator, Floats, Floats], tuple[Floats, Floats]]
_MOTIONS: Mapping[str, _Motion] = {
    "drift": _drift,
    "rotation": _rotation,
    "growth": _growth,
    "flicker": _flicker,
    "sway": _sway,
    "waves": _waves,
}
KINDS = tuple(_MOTIONS)


def kind_of(index: int) -> str:
    """Returns the name of the clip's motion."""
    return KINDS[index % len(KINDS)]


def render(split: str, index: int, size: int, times: Sequence[float], kind: str = "") -> np.ndarray:
    """Draws the frames of one clip.

    Args:
        split: "train", "eval" or "test".
        index: the clip, from 0 without an upper limit.
        size: height and width in pixels.
        times: the T times to draw, in frames; at 0 clips of all kinds look alike.
        kind: replaces the clip's own kind.

    Returns:
        uint8 [T, size, size, 3], RGB.
    """
    fields, base, colors = _appearance(split, index)
    axis = (np.arange(size) + 0.5) / size - 0.5
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    motion = np.random.default_rng([SPLIT_SEEDS[split], index, 1])
    seen, phases = _MOTIONS[kind or kind_of(index)](motion, points, np.asarray(times, np.float64))
    places = np.moveaxis(seen[..., ::-1], -1, 0) * (_GRID / 2)  # (row, column) on the grid of the noise
    first, second, later = (scipy.ndimage.map_coordinates(f, places, order=1, mode="grid-wrap") for f in fields)
    turn = phases[:, None, None]
    changed = np.cos(turn) * first + np.sin(turn) * later
    image = base + changed[..., None] * colors[0] + second[..., None] * np.cos(turn)[..., None] * colors[1]
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)


@functools.lru_cache(maxsize=8)
def _appearance(split: str, index: int) -> tuple[Floats, Floats, Floats]:
    """Returns three fields of noise [3, G, G], a base color [3], and two colors [2, 3] that the noise adds."""
    rng = np.random.default_rng([SPLIT_SEEDS[split], index, 0])
    waves = scipy.fft.fftfreq(_GRID, 1 / _GRID)
    radius = np.hypot(waves[:, None], waves[None, : _GRID // 2 + 1])
    amplitude = np.where((radius >= _WAVES[0]) & (radius <= _WAVES[1]), 1 / np.maximum(radius, 1), 0.0)
    shape = (3, *amplitude.shape)
    spectra = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * amplitude
    fields = scipy.fft.irfft2(spectra, s=(_GRID, _GRID))
    fields /= fields.std(axis=(1, 2), keepdims=True)
    return fields, rng.uniform(90, 165, 3), rng.uniform(-45, 45, (2, 3))


class TexturesSource(ProceduralSource):
    """One split of `textures`; the folder in a clip's name is the kind."""

    dataset = "textures"

    def name(self, video: int) -> str:
        return f"{kind_of(video)}/{super().name(video)}"

    def draw(self, video: int, frame_indices: Sequence[int]) -> np.ndarray:
        return render(self.split, video, self.size, frame_indices)
