"""Optical flow in the colors of the Middlebury benchmark: the hue is the direction, white is no motion."""

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from i2v_jax.media.drawing import BACKGROUND, Pixels

# The steps from red to yellow, green, cyan, blue, magenta and back to red (Baker et al. 2011): more of them where the
# eye tells more hues apart.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255), (255, 0, 0))
_DARKER = 0.75  # of what is longer than the longest vector that has a color of its own


def flow_colors(flow: ArrayLike, longest: float | None = None) -> Pixels:
    """Returns flow as colors, [..., h, w, 2] -> [..., h, w, 3].

    Args:
        flow: (dx, dy), y down.
        longest: the length with the full color, that of the longest vector by default. Longer vectors are darker.
    """
    vectors = np.asarray(flow, np.float64)
    lengths = np.hypot(vectors[..., 0], vectors[..., 1])
    lengths = lengths / (longest or lengths.max() or 1.0)
    wheel = _hues()
    place = (np.arctan2(-vectors[..., 1], -vectors[..., 0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    before = np.floor(place).astype(int)
    share = (place - before)[..., None]
    hue = (1 - share) * wheel[before] + share * wheel[(before + 1) % len(wheel)]
    saturation = np.minimum(lengths, 1.0)[..., None]
    colors = np.where(lengths[..., None] <= 1 + 1e-9, 1 - saturation * (1 - hue), _DARKER * hue)
    return (255 * colors).round().astype(np.uint8)


def flow_wheel(size: int) -> Pixels:
    """Returns the legend of `flow_colors`, [size, size, 3]: a vector from the center has the color of where it ends."""
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    vectors = np.stack(np.meshgrid(axis, axis), axis=-1)
    colors = flow_colors(vectors, 1.0)
    colors[np.hypot(vectors[..., 0], vectors[..., 1]) > 1] = BACKGROUND
    return colors


@functools.cache
def _hues() -> NDArray[np.float64]:
    """Returns the colors of the wheel [55, 3] in [0, 1]: from right over down, left and up, as seen on the screen."""
    parts = [
        start + (np.subtract(end, start) * np.arange(steps)[:, None] / steps)
        for start, end, steps in zip(_CORNERS[:-1], _CORNERS[1:], _STEPS, strict=True)
    ]
    return np.floor(np.concatenate(parts)) / 255
