"""Curves: where the points land."""

import re

from i2v_jax.reports import curves


def _points(svg: str, index: int) -> list[tuple[float, float]]:
    match = re.search(rf'class="curve curve{index}" points="([^"]+)"', svg)
    assert match is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in match.group(1).split())]


def test_series_takes_the_lines_that_hold_the_name() -> None:
    lines = [{"step": 0, "l1": 1.0}, {"step": 5, "eval/l1": 2.0}, {"step": 9, "l1": 0.5}]
    assert curves.series(lines, "l1") == [(0, 1.0), (9, 0.5)]


def test_points_fill_the_axes() -> None:
    svg = curves.line_plot({"training": [(0, 3.0), (50, 2.0), (100, 1.0)], "held out": [(100, 2.0)]}, "L1 <x>")
    (x0, y0), (x1, y1), (x2, y2) = _points(svg, 0)
    assert x1 - x0 == x2 - x1 > 0
    assert y1 - y0 == y2 - y1 > 0  # downwards on the screen
    assert _points(svg, 1) == [(x2, y1)]
    assert "L1 &lt;x&gt;" in svg
    assert "100 steps" in svg


def test_a_wide_range_is_logarithmic() -> None:
    (_, y0), (_, y1), (_, y2) = _points(curves.line_plot({"a": [(0, 100.0), (1, 10.0), (2, 1.0)]}, "loss"), 0)
    assert abs((y1 - y0) - (y2 - y1)) < 0.11


def test_flat_and_missing_curves() -> None:
    (_, y0), (_, y1) = _points(curves.line_plot({"a": [(0, 2.0), (1, 2.0)]}, "loss"), 0)
    assert y0 == y1
    assert "nothing was logged" in curves.line_plot({"a": []}, "loss")
