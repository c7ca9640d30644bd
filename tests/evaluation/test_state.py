"""The state of an evaluation: each clip counts once, whenever the evaluation is killed."""

import pathlib

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.evaluation.state import State, Tables
from i2v_jax.metrics import accumulators
from i2v_jax.metrics.accumulators import ClipTable, Moments

_VALUES = np.random.default_rng(0).standard_normal((8, 3))


def _tables(*example_ids: int) -> Tables:
    rows = _VALUES[list(example_ids)]
    return {"psnr/0": ClipTable.empty(3, dtype=np.float64).add(example_ids, rows), "fid/0": Moments.empty(3).add(rows)}


def _assert_holds(folder: pathlib.Path, *example_ids: int) -> None:
    found = State(folder, {"a": 1}).load()
    table, moments = found["psnr/0"], found["fid/0"]
    assert isinstance(table, ClipTable) and isinstance(moments, Moments)
    assert table.index.tolist() == sorted(example_ids)
    np.testing.assert_array_equal(table.values, _VALUES[sorted(example_ids)])
    assert moments.count == len(example_ids)
    np.testing.assert_allclose(moments.mean, _VALUES[list(example_ids)].mean(axis=0), rtol=1e-12)


def test_runs_and_processes_add_up(tmp_path: pathlib.Path) -> None:
    one, other = State(tmp_path, {"a": 1}), State(tmp_path, {"a": 1})
    one.save(_tables(0, 1))
    other.save(_tables(2, 3))
    one.save(_tables(4))
    _assert_holds(tmp_path, 0, 1, 2, 3, 4)
    later = State(tmp_path, {"a": 1})
    later.save(_tables(6))
    later.save(_tables(7))
    _assert_holds(tmp_path, 0, 1, 2, 3, 4, 6, 7)
    assert len(list(later.folder.glob("moments-*.npz"))) == 3  # one for each process and run
    assert State(tmp_path, {"a": 2}).load() == {}
    later.remove()
    assert State(tmp_path, {"a": 1}).load() == {}


def test_killed_between_two_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, save = State(tmp_path, {"a": 1}), accumulators.save
    state.save(_tables(0, 1))

    def killed(path: pathlib.Path, tables: Tables) -> None:
        if path.name.startswith("clips"):
            raise UserError("disk full")
        save(path, tables)

    monkeypatch.setattr(accumulators, "save", killed)
    with pytest.raises(UserError):
        state.save(_tables(2))
    _assert_holds(tmp_path, 0, 1)
    monkeypatch.setattr(accumulators, "save", save)
    monkeypatch.setattr(pathlib.Path, "unlink", lambda *_, **__: None)  # killed before the old one is gone
    again = State(tmp_path, {"a": 1})
    again.save(_tables(2))
    again.save(_tables(3))
    _assert_holds(tmp_path, 0, 1, 2, 3)
