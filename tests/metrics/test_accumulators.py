"""Accumulators give the results of the whole set at once; saving and merging."""

import pathlib

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.metrics import accumulators
from i2v_jax.metrics.accumulators import ClipTable, Moments
from i2v_jax.metrics.frechet import frechet_distance, frechet_distance_of_features


def _values(count: int = 60, dimensions: int = 7) -> np.ndarray:
    """Returns values far from zero: sums of squares without centering would lose 8 digits."""
    rng = np.random.default_rng(0)
    return 1e4 + rng.standard_normal((count, dimensions)) @ rng.standard_normal((dimensions, dimensions))


def _split(values: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(values, np.cumsum(sizes)[:-1])


def _accumulated(parts: list[np.ndarray]) -> Moments:
    moments = Moments.empty(parts[0].shape[1])
    for part in parts:
        moments = moments.add(part)
    return moments


@pytest.mark.parametrize("sizes", [[60], [1] * 60, [59, 1], [7, 0, 13, 40]])
def test_moments_do_not_depend_on_the_batches(sizes: list[int]) -> None:
    values = _values()
    moments = _accumulated(_split(values, sizes))
    assert moments.count == 60
    np.testing.assert_allclose(moments.mean, values.mean(0), rtol=1e-13)
    covariance = np.cov(values, rowvar=False)
    np.testing.assert_allclose(moments.gaussian().covariance, covariance, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(moments.gaussian(ddof=0).covariance, covariance * 59 / 60, rtol=1e-10, atol=1e-10)


def test_merging_hosts_is_adding_their_batches() -> None:
    values = _values()
    one, two = _accumulated(_split(values[:23], [10, 13])), _accumulated([values[23:]])
    for merged in (one.merge(two), two.merge(one), Moments.empty(7).merge(one).merge(two).merge(Moments.empty(7))):
        np.testing.assert_allclose(merged.mean, values.mean(0), rtol=1e-13)
        np.testing.assert_allclose(merged.scatter, np.cov(values, rowvar=False) * 59, rtol=1e-10, atol=1e-9)


def test_only_valid_clips_count() -> None:
    values = _values()
    valid = np.arange(60) % 3 > 0
    values[~valid] = np.nan
    moments = Moments.empty(7).add(values, valid)
    assert moments.count == 40
    np.testing.assert_allclose(moments.mean, values[valid].mean(0), rtol=1e-13)
    assert Moments.empty(7).add(values, np.zeros(60)).count == 0


@pytest.mark.parametrize("dimensions", [7, 90])
def test_frechet_distance_of_moments(dimensions: int) -> None:
    a, b = _values(60, dimensions), 1.1 * _values(60, dimensions)[:50]
    found = frechet_distance(_accumulated(_split(a, [20, 40])).gaussian(), _accumulated(_split(b, [1, 49])).gaussian())
    assert found == pytest.approx(frechet_distance_of_features(a, b), rel=1e-9)


def test_values_that_are_not_numbers() -> None:
    values = _values()[:3]
    values[1, 2] = np.inf
    for call, value in (
        (lambda: Moments.empty(7).add(values), np.inf),
        (lambda: Moments.empty(7).add(values, [False, True, True]), np.inf),
        (lambda: Moments.empty(6).add(values), 7),
        (lambda: Moments.empty(7).merge(Moments.empty(6)), 6),
        (lambda: Moments.empty(7).add(values[:1]).gaussian(), 1),
    ):
        with pytest.raises(UserError) as raised:
            call()
        assert raised.value.value == value


def test_clip_table_is_in_the_order_of_the_clips() -> None:
    values = np.random.default_rng(2).standard_normal((6, 2)).astype(np.float32)
    table = ClipTable.empty(2).add([4, 1], values[[4, 1]]).add([9, 0], values[[5, 0]], [False, True])
    merged = table.merge(ClipTable.empty(2).add([3, 2, 5], values[[3, 2, 5]]))
    assert merged.index.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(merged.values, values)
    for call, value in ((lambda: merged.merge(table), 0), (lambda: merged.add([7], [1.0]), ())):
        with pytest.raises(UserError) as raised:
            call()
        assert raised.value.value == value
    with pytest.raises(UserError):
        accumulators.merge(merged, Moments.empty(2))


def _state() -> dict:
    moments = _accumulated([_values()])
    return {"real": moments, "clips": ClipTable.empty(2).add([3, 1], np.array([[1, 2], [3, 4.5]]))}


def _assert_equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    assert found["real"].count == expected["real"].count
    np.testing.assert_array_equal(found["real"].mean, expected["real"].mean)
    np.testing.assert_array_equal(found["real"].scatter, expected["real"].scatter)
    np.testing.assert_array_equal(found["clips"].index, expected["clips"].index)
    np.testing.assert_array_equal(found["clips"].values, expected["clips"].values)
    assert found["clips"].values.dtype == expected["clips"].values.dtype


def test_saved_state_continues_exactly(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state.npz"
    accumulators.save(path, {"real": Moments.empty(1)})
    accumulators.save(path, _state())
    found = accumulators.load(path)
    _assert_equal(found, _state())
    assert list(tmp_path.iterdir()) == [path]
    more = _values() + 1
    np.testing.assert_array_equal(found["real"].add(more).scatter, _state()["real"].add(more).scatter)


def test_files_that_are_no_state(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state.npz"
    accumulators.save(path, _state())
    content = path.read_bytes()
    np.savez(path, other=np.zeros(3))
    for broken in (None, content[: len(content) // 2], b"", b"no archive", path.read_bytes()):
        path.unlink(missing_ok=True)
        if broken is not None:
            path.write_bytes(broken)
        with pytest.raises(UserError) as raised:
            accumulators.load(path)
        assert raised.value.value == str(path)
    with pytest.raises(UserError) as raised:
        accumulators.save(path / "inside.npz", _state())
    assert raised.value.value == str(path / "inside.npz")
