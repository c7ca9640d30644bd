"""Line charts and matrices as pictures [H, W, 3] uint8, for reports and for what training leaves behind."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Points = Sequence[tuple[float, float]]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PAPER, _INK, _RULE = (255, 255, 255), (34, 38, 43), (222, 219, 213)
_COLORS = ((31, 111, 178), (194, 87, 26), (60, 130, 70), (130, 80, 160), (120, 100, 60), (90, 90, 90))
_SMOOTH = 3  # drawn larger and reduced: Pillow's lines have hard edges
_TEXT = 13


def line_chart(curves: Mapping[str, Points], title: str, across: str, width: int = 640, height: int = 360) -> Pixels:
    """Curves of (x, y) by label, the axes from the smallest to the largest values.

    Args:
        curves: label -> points, in the order of x; one or more of them with a point.
        title: above.
        across: what x is.
        width, height: of the picture.
    """
    left, right, top, bottom = 72, 16, 34 + 18 * (len(curves) > 1), 44
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    (x0, x1), (y0, y1) = _span(xs), _span(ys)
    canvas = Image.new("RGB", (width * _SMOOTH, height * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(canvas)

    def place(x: float, y: float) -> tuple[float, float]:
        u, v = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
        return (
            (left + u * (width - left - right)) * _SMOOTH,
            (height - bottom - v * (height - top - bottom)) * _SMOOTH,
        )

    ticks = np.linspace(y0, y1, 5)
    for tick in ticks:
        draw.line([place(x0, tick), place(x1, tick)], fill=_RULE, width=_SMOOTH)
    for index, points in enumerate(curves.values()):
        line = [place(x, y) for x, y in points]
        if len(line) > 1:
            draw.line(line, fill=_COLORS[index % len(_COLORS)], width=2 * _SMOOTH, joint="curve")
        for x, y in line if len(line) <= 32 else ():
            reach = 2.5 * _SMOOTH
            draw.ellipse([x - reach, y - reach, x + reach, y + reach], fill=_COLORS[index % len(_COLORS)])
    canvas = canvas.resize((width, height), Image.Resampling.BOX)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT)
    draw.text((left, 8), title, fill=_INK, font=font)
    for tick in ticks:
        draw.text((left - 8, place(x0, tick)[1] / _SMOOTH), f"{tick:.4g}", fill=_INK, font=font, anchor="rm")
    for x, anchor in ((x0, "lt"), (x1, "rt")):
        draw.text((place(x, y0)[0] / _SMOOTH, height - bottom + 8), f"{x:g}", fill=_INK, font=font, anchor=anchor)
    draw.text(((left + width - right) / 2, height - bottom + 8), across, fill=_INK, font=font, anchor="mt")
    if len(curves) > 1:
        _legend(draw, font, list(curves), left)
    return np.asarray(canvas)


def matrix_chart(matrix: ArrayLike, labels: Sequence[str], title: str) -> Pixels:
    """A matrix of counts, its rows as shares of their sums in shades, the counts as numbers.

    Args:
        matrix: [K, K]; row: what it is, column: what it was taken for.
        labels: K names.
        title: above.
    """
    counts = np.asarray(matrix, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    font = ImageFont.load_default(_TEXT)
    margin = 16 + math.ceil(max(font.getlength(label) for label in labels))
    cell, top = max(34, 8 + math.ceil(font.getlength(f"{counts.max():.0f}"))), 34
    size = len(labels) * cell
    canvas = Image.new("RGB", (max(margin + size + 16, margin + 240), top + size + margin), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((16, 8), title, fill=_INK, font=font)
    for row, label in enumerate(labels):
        draw.text((margin - 6, top + (row + 0.5) * cell), label, fill=_INK, font=font, anchor="rm")
        for column in range(len(labels)):
            share = shares[row, column]
            shade = tuple(
                round(paper + share * (color - paper)) for paper, color in zip(_PAPER, _COLORS[0], strict=True)
            )
            x, y = margin + column * cell, top + row * cell
            draw.rectangle([x, y, x + cell - 2, y + cell - 2], fill=shade)
            ink = _PAPER if share > 0.6 else _INK
            draw.text((x + cell / 2, y + cell / 2), f"{counts[row, column]:.0f}", fill=ink, font=font, anchor="mm")
    canvas.paste(_turned(labels, font, margin, cell), (margin, top + size))
    return np.asarray(canvas)


def _turned(labels: Sequence[str], font: Font, length: int, cell: int) -> Image.Image:
    """The labels side by side, each reading upwards and ending at the top."""
    lying = Image.new("RGB", (length, cell * len(labels)), _PAPER)
    draw = ImageDraw.Draw(lying)
    for index, label in enumerate(labels):
        draw.text((length - 6, (index + 0.5) * cell), label, fill=_INK, font=font, anchor="rm")
    return lying.transpose(Image.Transpose.ROTATE_90)


def _legend(draw: ImageDraw.ImageDraw, font: Font, labels: Sequence[str], left: float) -> None:
    x = left
    for index, label in enumerate(labels):
        draw.rectangle([x, 34, x + 14, 37], fill=_COLORS[index % len(_COLORS)])
        draw.text((x + 20, 28), label, fill=_INK, font=font)
        x += 36 + font.getlength(label)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest, apart from one another."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
