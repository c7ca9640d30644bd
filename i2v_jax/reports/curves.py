"""Line plots as inline SVG: they take the page's colors, in light and dark, and need no library."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 12, 26

Points = Sequence[tuple[float, float]]


def series(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """(step, value) of the lines of a metrics file that hold a number under `name`."""
    return [(line["step"], line[name]) for line in lines if line.get(name) is not None]


def line_plot(curves: Mapping[str, Points], title: str, unit: str = "steps") -> str:
    """Curves by label as an SVG element of the classes `curve`, `curve0`, `curve1`, ...; the first is drawn first.

    `unit` is what the horizontal axis counts.

    The vertical axis is logarithmic when all values are positive and span more than a factor of ten.
    """
    curves = {label: points for label, points in curves.items() if points}
    if not curves:
        return f"<p>{html.escape(title)}: nothing was logged.</p>"
    values = [value for points in curves.values() for _, value in points]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > 10 * low
    last = max(step for points in curves.values() for step, _ in points) or 1

    def height_of(value: float) -> float:
        a, b, v = (math.log(x) if logarithmic else x for x in (low, high, value))
        share = (v - a) / (b - a) if b > a else 0.5
        return _TOP + (1 - share) * (HEIGHT - _TOP - _BOTTOM)

    def across(step: float) -> float:
        return _LEFT + step / last * (WIDTH - _LEFT - _RIGHT)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">']
    for value in (low, (low * high) ** 0.5 if logarithmic else (low + high) / 2, high):
        y = height_of(value)
        parts.append(f'<path class="rule" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text x="{_LEFT}" y="{HEIGHT - 6}">0</text>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{last:g} {unit}</text>')
    for index, points in enumerate(curves.values()):
        path = " ".join(f"{across(step):.1f},{height_of(value):.1f}" for step, value in points)
        parts.append(f'<polyline class="curve curve{index}" points="{path}"/>')
    parts.append("</svg>")
    keys = "".join(f'<span class="key key{i}">{html.escape(label)}</span>' for i, label in enumerate(curves))
    return f'<figure class="plot">{"".join(parts)}<figcaption><b>{html.escape(title)}</b> {keys}</figcaption></figure>'
