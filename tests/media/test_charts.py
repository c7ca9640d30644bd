"""Charts: where points and shares land."""

import numpy as np

from i2v_jax import charts


def _rows_of(picture: np.ndarray, color: tuple[int, int, int], column: slice) -> np.ndarray:
    near = np.abs(picture[:, column].astype(int) - color).max(axis=-1) < 40
    return np.flatnonzero(near.any(axis=1))


def test_a_falling_line_falls() -> None:
    picture = charts.line_chart({"a": [(0, 3.0), (1, 2.0), (2, 1.0)]}, "title", "x", width=320, height=200)
    assert picture.shape == (200, 320, 3)
    left, middle, right = (_rows_of(picture, (31, 111, 178), slice(x - 2, x + 3)).mean() for x in (72, 188, 304))
    assert left < middle < right
    assert abs((middle - left) - (right - middle)) < 2


def test_two_curves_have_a_legend_and_a_flat_one_is_drawn() -> None:
    one = charts.line_chart({"a": [(0, 1.0), (1, 1.0)]}, "title", "x")
    two = charts.line_chart({"a": [(0, 1.0), (1, 1.0)], "b": [(0, 2.0), (1, 2.0)]}, "title", "x")
    assert not len(_rows_of(one, (194, 87, 26), slice(None)))
    rows = _rows_of(two, (194, 87, 26), slice(None))
    assert rows.min() < 40 < rows.max()


def test_the_diagonal_of_a_perfect_matrix_is_dark() -> None:
    picture = charts.matrix_chart(np.diag([5, 7]), ["first", "second"], "title").astype(int)
    blue = np.abs(picture - (31, 111, 178)).max(axis=-1) < 20
    rows, columns = np.nonzero(blue)
    assert len(rows) > 500
    upper = rows < np.median(rows)
    assert columns[upper].mean() < columns[~upper].mean()  # the first row's cell is left of the second's
    empty = charts.matrix_chart(np.zeros((2, 2)), ["first", "second"], "title").astype(int)
    assert not (np.abs(empty - (31, 111, 178)).max(axis=-1) < 20).any()
