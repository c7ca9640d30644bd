"""Accumulators against the whole set at once; saving, merging, and two real processes."""

import os
import pathlib
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.evaluation import accumulators
from i2v_jax.evaluation.accumulators import ClipTable, Moments
from i2v_jax.evaluation.frechet import frechet_distance, frechet_distance_of_features


def _values(count: int = 60, dimensions: int = 7) -> np.ndarray:
    """Far from zero: sums of squares without centring would lose 8 digits."""
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


def test_curves() -> None:
    """[B, T]: the mean curve, its spread over clips, and the mean and spread of a clip's average."""
    curve = np.random.default_rng(1).standard_normal((30, 4)).astype(np.float32)
    moments = _accumulated(_split(curve, [11, 19]))
    exact = curve.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.deviation(), exact.std(0, ddof=1), rtol=1e-12)
    assert moments.overall() == pytest.approx((exact.mean(), exact.mean(1).std(ddof=1)), rel=1e-12)


def test_one_number_per_clip() -> None:
    numbers = np.arange(5.0)
    assert Moments.empty(1).add(numbers[:2]).add(numbers[2:]).overall() == pytest.approx((2, np.std(numbers, ddof=1)))


def test_values_that_are_not_numbers() -> None:
    values = _values()[:3]
    values[1, 2] = np.inf
    with pytest.raises(UserError, match="clip 1 of the batch has the value inf at 2"):
        Moments.empty(7).add(values)
    with pytest.raises(UserError, match="clip 1 of the batch has the value inf at 2"):
        Moments.empty(7).add(values, [False, True, True])
    with pytest.raises(UserError, match="7 values per clip were added to an accumulator of 6"):
        Moments.empty(6).add(values)
    with pytest.raises(UserError, match="7 and 6 values per clip cannot be merged"):
        Moments.empty(7).merge(Moments.empty(6))
    with pytest.raises(UserError, match="1 clips are too few"):
        Moments.empty(7).add(values[:1]).gaussian()


def test_clip_table_is_in_the_order_of_the_clips() -> None:
    values = np.random.default_rng(2).standard_normal((6, 2)).astype(np.float32)
    table = ClipTable.empty(2).add([4, 1], values[[4, 1]]).add([9, 0], values[[5, 0]], [False, True])
    merged = table.merge(ClipTable.empty(2).add([3, 2, 5], values[[3, 2, 5]]))
    assert merged.index.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(merged.values, values)
    with pytest.raises(UserError, match="clip 0 was evaluated twice"):
        merged.merge(table)
    with pytest.raises(UserError, match="cannot be merged"):
        merged.add([7], [1.0])


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
    accumulators.save(path, _state(), {"next_batch": 3, "protocol": "abc"})
    found, progress = accumulators.load(path)
    assert progress == {"next_batch": 3, "protocol": "abc"}
    _assert_equal(found, _state())
    assert list(tmp_path.iterdir()) == [path]
    more = _values() + 1
    np.testing.assert_array_equal(found["real"].add(more).scatter, _state()["real"].add(more).scatter)


def test_files_that_are_no_state(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state.npz"
    with pytest.raises(UserError, match="cannot read"):
        accumulators.load(path)
    accumulators.save(path, _state())
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b"", b"no archive"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="holds no metric state"):
            accumulators.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(UserError, match="holds no metric state"):
        accumulators.load(path)
    with pytest.raises(UserError, match="cannot write"):
        accumulators.save(tmp_path / "missing" / "state.npz", _state())


def test_gathering_on_one_process_changes_nothing() -> None:
    _assert_equal(accumulators.gather(_state()), _state())


def test_gathering_from_a_process_that_holds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accumulators.jax, "process_count", lambda: 2)
    monkeypatch.setattr(accumulators.multihost_utils, "process_allgather", lambda array: np.stack([array, array]))
    found = accumulators.gather({"real": _state()["real"]})["real"]
    assert found.count == 120
    np.testing.assert_array_equal(found.mean, _state()["real"].mean)
    np.testing.assert_array_equal(found.scatter, 2 * _state()["real"].scatter)


_PROCESS = """
    import sys
    import jax, numpy as np
    from i2v_jax.distributed.runtime import initialize_distributed
    initialize_distributed()
    from i2v_jax.evaluation import accumulators
    from i2v_jax.evaluation.accumulators import ClipTable, Moments
    rank = jax.process_index()
    values = np.load(sys.argv[1])[rank::2][: 20 - 5 * rank]  # of different numbers
    index = np.arange(len(values)) * 2 + rank
    own = {"real": Moments.empty(7).add(values), "clips": ClipTable.empty(7, dtype=np.float64).add(index, values)}
    accumulators.save(f"{sys.argv[2]}/{rank}.npz", accumulators.gather(own))
"""


@pytest.mark.slow
def test_two_processes(tmp_path: pathlib.Path) -> None:
    values = _values()
    np.save(tmp_path / "values.npy", values)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": "2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", textwrap.dedent(_PROCESS), str(tmp_path / "values.npy"), str(tmp_path)]
    processes = [
        subprocess.Popen(
            command, env={**os.environ, **job, "JAX_PROCESS_ID": str(rank)}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        for process in processes:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
    numbers = np.sort([*range(0, 40, 2), *range(1, 31, 2)])
    expected = values[numbers]
    for rank in range(2):
        found, _ = accumulators.load(tmp_path / f"{rank}.npz")
        np.testing.assert_array_equal(found["clips"].index, numbers)
        np.testing.assert_array_equal(found["clips"].values, expected)  # every bit of the float64
        assert found["real"].count == 35
        np.testing.assert_allclose(found["real"].mean, expected.mean(0), rtol=1e-13)
        np.testing.assert_allclose(found["real"].scatter, np.cov(expected, rowvar=False) * 34, rtol=1e-10, atol=1e-9)
