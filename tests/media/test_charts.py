"""Charts: where curves and shades are drawn, and what an SVG takes from its page."""

import io
import re

import numpy as np
from PIL import Image

from i2v_jax import charts

_FALLING = [(0.0, 3.0), (50.0, 2.0), (100.0, 1.0)]


def _near(figure, color: str) -> np.ndarray:
    """Pixels [H, W] of a chart that have about this color."""
    pixels = np.asarray(Image.open(io.BytesIO(charts.png(figure))).convert("RGB")).astype(int)
    rgb = [int(color[index : index + 2], 16) for index in (1, 3, 5)]
    return np.abs(pixels - rgb).max(axis=-1) < 30


def _curve(svg: str, index: int) -> np.ndarray:
    """Points [N, 2] of the path of a curve."""
    (path,) = re.findall(rf'<path d="([^"]+)" clip-path="[^"]+" style="[^"]*stroke: var\(--series-{index}', svg)
    return np.array([[float(number) for number in point.split()] for point in re.split("[ML]", path)[1:]])


def test_a_falling_line_falls() -> None:
    rows, columns = np.nonzero(_near(charts.line_chart({"a": _FALLING}, "title", "step", "loss"), charts.SERIES[0]))
    assert np.corrcoef(rows, columns)[0, 1] > 0.95
    assert np.ptp(columns) > 600
    assert np.ptp(rows) > 300


def test_points_are_where_their_values_are() -> None:
    (x0, y0), (x1, y1), (x2, y2) = _curve(charts.svg(charts.line_chart({"a": _FALLING}, "t", "x", "y")), 0)
    assert abs((x1 - x0) - (x2 - x1)) < 0.01 < x1 - x0
    assert abs((y1 - y0) - (y2 - y1)) < 0.01 < y1 - y0


def test_a_wide_range_is_logarithmic() -> None:
    chart = charts.line_chart({"a": [(0, 100.0), (1, 10.0), (2, 1.0)]}, "t", "x", "y")
    (_, y0), (_, y1), (_, y2) = _curve(charts.svg(chart), 0)
    assert abs((y1 - y0) - (y2 - y1)) < 0.01


def test_a_curve_of_one_point_and_a_flat_one_can_be_seen() -> None:
    chart = charts.line_chart({"flat": [(0, 1.0), (9, 1.0)], "point": [(4, 2.0)]}, "t", "x", "y")
    for color in charts.SERIES[:2]:
        plot = _near(chart, color)[:450]  # above the legend
        assert plot.sum() > 30
    assert not _near(chart, charts.SERIES[2]).any()


def test_an_svg_takes_its_colors_from_the_page() -> None:
    text = charts.svg(charts.line_chart({"a": _FALLING, "b": _FALLING}, "L1 <x>", "step", "loss (nats)"))
    assert text.startswith("<svg viewBox=")
    assert not re.search(r"https?:", text)
    assert "currentColor" in text
    assert set(re.findall(r"(?<!url\()#[0-9a-f]{6}\b(?!\))", text)) <= {*charts.SERIES, "#dedbd5"}  # only as fallbacks
    for words in ("L1 &lt;x&gt;", ">loss (nats)<", ">step<", ">b<"):
        assert words in text


def test_the_same_chart_has_the_same_bytes() -> None:
    first, second = (charts.line_chart({"a": _FALLING}, "title", "step", "loss") for _ in range(2))
    assert charts.svg(first) == charts.svg(second)
    assert charts.png(first) == charts.png(second)


def test_the_diagonal_of_a_perfect_matrix_is_dark() -> None:
    rows, columns = np.nonzero(_near(charts.matrix_chart(np.diag([5, 7]), ["first", "second"], "t"), charts.SERIES[0]))
    assert len(rows) > 5000
    upper = rows < np.median(rows)
    assert columns[upper].mean() < columns[~upper].mean()  # the first row's cell is left of the second's
    empty = charts.matrix_chart(np.zeros((2, 2)), ["first", "second"], "t")
    assert not _near(empty, charts.SERIES[0]).any()
