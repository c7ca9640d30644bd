"""Line charts and matrices, drawn by Matplotlib: as SVG for pages and as PNG for files.

The same chart always gives the same bytes. An SVG has no background and takes its colors from the page: text and axes
from CSS's `currentColor`, grid lines from `--rule`, and curves from `--series-0`, `--series-1`, and so on.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]

SERIES = ("#1f6fb2", "#c2571a", "#4d7f2c", "#8250a0", "#78643c", "#5a5a5a")
_PAPER, _INK, _RULE = "#ffffff", "#22262b", "#dedbd5"
_SIZE = (4.8, 3.0)  # inches
_DPI = 200  # of PNG files
_LEAST_SPAN = 6  # of the horizontal axis of a histogram of whole numbers
_MARKED = 32  # curves of at most this many points get a marker at each
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.family": "DejaVu Sans",  # comes with Matplotlib
    "font.size": 9,
    "grid.color": _RULE,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "i2v_jax",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def line_chart(
    curves: Mapping[str, Points],
    title: str,
    x_label: str,
    y_label: str,
    marks: Sequence[float] = (),
    always_linear: bool = False,
) -> Figure:
    """Returns a chart of one or more curves, with a legend where there are several.

    The vertical axis is logarithmic when all values are positive and span more than a factor of ten, unless it is to be
    linear always.

    Args:
      curves: label -> points (x, y) in the order of x, at least one point in each.
      title: printed above the chart.
      x_label, y_label: names of the axes, with their units.
      marks: where on the horizontal axis something happened; drawn as dotted lines.
    """
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    with rc_context(_STYLE):
        figure, axes = _figure(_SIZE)
        for index, (label, points) in enumerate(curves.items()):
            marker = "o" if len(points) <= _MARKED else ""
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, marker=marker, color=SERIES[index % len(SERIES)], label=label)
        for x in marks:
            axes.axvline(x, color=_INK, linewidth=0.8, linestyle=":")
        values = [y for points in curves.values() for _, y in points]
        if not always_linear and min(values) > 0 and max(values) > 10 * min(values):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if len(curves) > 1:
            figure.legend(loc="outside lower center", ncols=3)
    return figure


def matrix_chart(matrix: ArrayLike, labels: Sequence[str], title: str) -> Figure:
    """Returns a confusion matrix: a shade for each cell's share of its row, and the counts as numbers.

    Args:
      matrix: counts [K, K]; rows are true classes, columns predicted ones.
      labels: names of the K classes.
      title: printed above the matrix.
    """
    from matplotlib import rc_context
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.asarray(matrix, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    side = max(3.2, 1.6 + 0.36 * len(labels))  # inches
    with rc_context({**_STYLE, "axes.grid": False}):
        figure, axes = _figure((side + 0.6, side))
        axes.imshow(shares, cmap=LinearSegmentedColormap.from_list("shares", [_PAPER, SERIES[0]]), vmin=0, vmax=1)
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
        axes.set(title=title, xlabel="predicted class", ylabel="true class")
        for (row, column), count in np.ndenumerate(counts):
            color = _PAPER if shares[row, column] > 0.6 else _INK
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=color)
    return figure


def histogram(values: Mapping[str, ArrayLike], title: str, x_label: str, y_label: str, bins: int = 24) -> Figure:
    """Returns a histogram of one or more sets of values over the same bins, with a legend where there are several.

    Args:
      values: label -> values [N], at least one in all.
      title: printed above the chart.
      x_label, y_label: names of the axes, with their units.
      bins: the largest number of bins; whole numbers have bins of whole width.
    """
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    arrays = {label: np.asarray(array, np.float64).ravel() for label, array in values.items()}
    everything = np.concatenate(list(arrays.values()))
    low, high = float(everything.min()), float(everything.max())
    if whole := np.array_equal(everything, everything.round()):
        width = max(1, int(np.ceil((high - low + 1) / bins)))
        edges = np.arange(low - 0.5, high + width + 0.5, width)
    else:
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    with rc_context(_STYLE):
        figure, axes = _figure(_SIZE)
        colors = [SERIES[index % len(SERIES)] for index in range(len(arrays))]
        axes.hist(list(arrays.values()), edges.tolist(), stacked=True, color=colors, label=list(arrays))
        axes.set_axisbelow(True)  # the lines of the grid
        if whole and high - low < _LEAST_SPAN:
            left = max(low - _LEAST_SPAN / 2, -0.5 if low >= 0 else -np.inf)  # counts are not negative
            axes.set_xlim(left, left + _LEAST_SPAN)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=whole))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if len(arrays) > 1:
            figure.legend(loc="outside lower center", ncols=3)
    return figure


def svg(figure: Figure) -> str:
    """Returns a chart as an `<svg>` element to place inside an HTML page, in the page's colors."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    title = html.escape(figure.axes[0].get_title(loc="left"), quote=True)
    text = buffer.getvalue()
    text = re.sub(
        r"<svg[^>]*viewBox=(\S+ \S+ \S+ \S+)[^>]*>", rf'<svg viewBox=\1 role="img" aria-label="{title}">', text
    )
    text = re.sub(r"<(metadata|style).*?</\1>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # several charts share a page, where an id may appear only once
    text = text.replace("xlink:href", "href").replace("'DejaVu Sans'", "system-ui")
    text = text.replace(_INK, "currentColor").replace(_RULE, f"var(--rule, {_RULE})")
    for index, color in enumerate(SERIES):
        text = text.replace(color, f"var(--series-{index}, {color})")
    return text


def png(figure: Figure) -> bytes:
    """Returns a chart as a PNG file of about 960 x 600 pixels on white."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context(_STYLE):
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _figure(inches: tuple[float, float]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(inches, layout="constrained")
    return figure, figure.subplots()
