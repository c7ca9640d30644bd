"""Composing videos and drawing on them: grids, strips, labels and arrows.

All functions take videos as float in [-1, 1] or uint8 in [0, 255], channels last, and return uint8.
"""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from i2v_jax.pixels import to_uint8

Pixels = NDArray[np.uint8]

BACKGROUND = 255
_INK = 32
Color = tuple[int, int, int]
ACCENT: Color = (255, 64, 32)
_IMPULSE = 0.15  # length of the arrow of an impulse, in frame widths
_LABEL_SIZE, _LABEL_MARGIN = 12, 2  # of the text, and around it, in pixels


def enlarge(video: ArrayLike, scale: int) -> Pixels:
    """Returns frames [..., scale*H, scale*W, 3] of frames [..., H, W, 3], enlarged with nearest neighbors."""
    return to_uint8(video).repeat(scale, axis=-3).repeat(scale, axis=-2)


def usual_scale(size: int) -> int:
    """Returns the default enlargement of frames of `size` pixels: to about 256 pixels."""
    return max(1, round(256 / size))


def with_start(start_frame: NDArray[Any], video: NDArray[Any]) -> NDArray[Any]:
    """Returns [1 + T, H, W, 3]: the start frame [H, W, 3] followed by the video [T, H, W, 3]."""
    return np.concatenate([start_frame[None], video])


def grid(videos: ArrayLike, columns: int, pad: int = 2, background: int = BACKGROUND) -> Pixels:
    """Returns videos [N, T, H, W, 3] as one video [T, H', W', 3], row by row, with `pad` white pixels around each.

    With `background` 0, videos [N, T, H, W, 4] that have an alpha channel stand on a transparent ground.
    H' = rows * (H + pad) + pad and W' = columns * (W + pad) + pad, with rows = ceil(N / columns).
    """
    cells = to_uint8(videos)
    count, frames, height, width, channels = cells.shape
    rows = math.ceil(count / columns)
    shape = (frames, rows * (height + pad) + pad, columns * (width + pad) + pad, channels)
    canvas = np.full(shape, background, np.uint8)
    for index, cell in enumerate(cells):
        top = pad + (index // columns) * (height + pad)
        left = pad + (index % columns) * (width + pad)
        canvas[:, top : top + height, left : left + width] = cell
    return canvas


def strip(video: ArrayLike, count: int, pad: int = 2) -> Pixels:
    """Returns a picture [H', W', 3]: `count` frames of a video [T, H, W, 3] in a row, from first to last."""
    frames = to_uint8(video)
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return grid(frames[chosen][:, None], columns=len(chosen), pad=pad)[0]


def stills(drawn: Callable[[int], ArrayLike], scale: int) -> Pixels:
    """Returns a strip [H', W', 3] of eight frames, at half the scale of the video file that it accompanies.

    `drawn` takes a scale and returns the video [T, H, W, 3] enlarged by it.
    """
    return strip(drawn(max(1, scale // 2)), 8)


def stack_rows(rows: Sequence[tuple[str, ArrayLike]], pad: int = 2) -> Pixels:
    """Returns videos [T, H, W, 3], each with a text above, below each other. Shorter videos hold their last frame."""
    return _join([label(video, text) for text, video in rows], axis=1, pad=pad)


def side_by_side(columns: Sequence[tuple[str, ArrayLike]], pad: int = 2) -> Pixels:
    """Returns videos [T, H, W, 3], each with a text above, side by side. Shorter videos hold their last frame.

    If any has a text, all begin below it.
    """
    named = any(text for text, _ in columns)
    return _join([_headed(video, text) if named else to_uint8(video) for text, video in columns], axis=2, pad=pad)


def _join(videos: Sequence[Pixels], axis: int, pad: int) -> Pixels:
    frames = max(len(video) for video in videos)
    across = 3 - axis
    extent = max(video.shape[across] for video in videos)
    parts: list[Pixels] = []
    for index, video in enumerate(videos):
        held = np.concatenate([video, np.repeat(video[-1:], frames - len(video), axis=0)])
        margin = [(0, 0)] * 4
        margin[across] = (0, extent - video.shape[across])
        margin[axis] = (0, pad if index < len(videos) - 1 else 0)
        parts.append(np.pad(held, margin, constant_values=BACKGROUND))
    return np.concatenate(parts, axis=axis)


def label(video: ArrayLike, text: str) -> Pixels:
    """Returns a video [T, H', W', 3] with a line of text above, widened if the text needs it. "" adds nothing."""
    return _headed(video, text) if text else to_uint8(video)


def _headed(video: ArrayLike, text: str) -> Pixels:
    """Returns what `label` does. The height of the line does not depend on the text, so that videos stay aligned."""
    frames, font, line = to_uint8(video), _font(), " ".join(text.split())
    width = max(frames.shape[2], math.ceil(font.getlength(line)) + 2 * _LABEL_MARGIN)
    band = Image.new("RGB", (width, sum(font.getmetrics()) + 2 * _LABEL_MARGIN), (BACKGROUND,) * 3)
    ImageDraw.Draw(band).text((_LABEL_MARGIN, _LABEL_MARGIN), line, fill=(_INK,) * 3, font=font)
    widened = np.pad(frames, [(0, 0), (0, 0), (0, width - frames.shape[2]), (0, 0)], constant_values=BACKGROUND)
    header = np.broadcast_to(np.asarray(band), (len(frames), *np.asarray(band).shape))
    return np.concatenate([header, widened], axis=1)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """Returns the font of charts, which has more letters than Pillow's own."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), _LABEL_SIZE)


def arrow(video: ArrayLike, degrees: float, color: Color = ACCENT) -> Pixels:
    """Draws an arrow on all frames [T, H, W, 3]; 0 degrees points right, 90 up. Enlarge small videos first."""
    height, width = np.shape(video)[1:3]
    reach = 0.32 * min(height, width)
    forward = np.array([math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))])
    center = np.array([width / 2, height / 2])
    return arrow_between(video, center - reach * forward, center + reach * forward, color)


def arrow_between(video: ArrayLike, tail: ArrayLike, tip: ArrayLike, color: Color = ACCENT) -> Pixels:
    """Draws an arrow on frames [T, H, W, 3] between points (x, y) in pixels; (0, 0) is the upper left corner."""
    tail, tip = np.asarray(tail, np.float64), np.asarray(tip, np.float64)
    reach = max(np.hypot(*(tip - tail)) / 2, 1e-6)
    forward = (tip - tail) / (2 * reach)
    sideways = np.array([-forward[1], forward[0]])
    neck = tip - 0.55 * reach * forward
    head = [tip, neck + 0.35 * reach * sideways, neck - 0.35 * reach * sideways]

    def draw(canvas: ImageDraw.ImageDraw, smooth: int) -> None:
        stroke = max(smooth, round(0.14 * reach * smooth))
        canvas.line([tuple(point * smooth) for point in (tail, neck)], fill=255, width=stroke)
        canvas.polygon([tuple(point * smooth) for point in head], fill=255)

    return _painted(video, draw, color)


def target(video: ArrayLike, point: ArrayLike, radius: float, color: Color = ACCENT) -> Pixels:
    """Draws a ring on all frames [T, H, W, 3], around a point (x, y) in pixels; (0, 0) is the upper left corner."""
    x, y = (float(value) for value in np.asarray(point))

    def draw(canvas: ImageDraw.ImageDraw, smooth: int) -> None:
        box = [smooth * value for value in (x - radius, y - radius, x + radius, y + radius)]
        canvas.ellipse(box, outline=255, width=max(smooth, round(0.4 * radius * smooth)))

    return _painted(video, draw, color)


def poked(
    video: ArrayLike, scale: int, position: ArrayLike, displacement: ArrayLike, *, impulse: bool = False
) -> Pixels:
    """Draws a poke on a video [T, H, W, 3]: an arrow in the first frame, a ring at the target in all frames.

    Args:
        video: already enlarged `scale` times.
        position, displacement: (x, y) in pixels before enlarging; pixel (0, 0) has its center at (0, 0).
        impulse: whether the poke has no length: its arrow is as long as all others, and there is no ring.
    """
    tail = (np.asarray(position, np.float64) + 0.5) * scale
    if impulse:
        way = np.asarray(displacement, np.float64)
        tip = tail + _IMPULSE * np.shape(video)[2] * way / max(np.hypot(*way), 1e-6)
        return np.concatenate([arrow_between(np.asarray(video)[:1], tail, tip), to_uint8(np.asarray(video)[1:])])
    tip = tail + np.asarray(displacement, np.float64) * scale
    marked = target(video, tip, max(2.0, 0.03 * np.shape(video)[1]))
    return np.concatenate([arrow_between(marked[:1], tail, tip), marked[1:]])


def _painted(video: ArrayLike, draw: Callable[[ImageDraw.ImageDraw, int], None], color: Color) -> Pixels:
    """Draws on all frames. `draw` paints white on a mask that is enlarged by a factor, its second argument."""
    frames = to_uint8(video)
    height, width = frames.shape[1:3]
    smooth = 4  # drawn larger, then reduced, because Pillow's polygons have hard edges
    mask = Image.new("L", (width * smooth, height * smooth))
    draw(ImageDraw.Draw(mask), smooth)
    coverage = np.asarray(mask.resize((width, height), Image.Resampling.BOX), np.float32)[..., None] / 255
    return (frames * (1 - coverage) + np.asarray(color, np.float32) * coverage).round().astype(np.uint8)


def heat(image: ArrayLike, values: ArrayLike) -> Pixels:
    """Returns a gray picture [H, W, 3] overlaid with colors for `values` [H, W], from dark (0) to bright (1)."""
    gray = to_uint8(image).mean(axis=-1, keepdims=True)
    level = np.rint(255 * np.clip(np.asarray(values, np.float32), 0, 1)).astype(np.uint8)
    colors = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1]
    return (0.35 * gray + 0.65 * colors).round().astype(np.uint8)
