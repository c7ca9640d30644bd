"""What the published data sets have, and the comparison of a prepared one with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from i2v_jax.data.bair.builder import Bair
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import compare, listed, videos
from i2v_jax.data.registry import DATA_SETS, data_set
from tests.compiling import HANG
from tests.data import raw_copies
from tests.data.conftest import Prepare

ROOT = Path(__file__).parents[2]

EXPECTED = {
    "bair": {"train videos": 43_008, "eval videos": 256, "test videos": 256},
    "iper": {"train videos": 138, "eval videos": 26, "test videos": 42},
    "landscape": {"train videos": 1074, "eval videos": 112, "test videos": 153},
    "dtdb_fire": {"all videos": 150, "test videos": 18},
    "dtdb": {"train classes": 18},
    "poking_plants": {"train videos": 27, "test videos": 27},
    "human36m": {"train and eval videos": 599, "test videos": 239},
    "taichi": {
        "train and eval videos": 3049,
        "test videos": 285,
        "train and eval recordings": 252,
        "test recordings": 28,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_counts_of_the_published_data_sets(name: str) -> None:
    found = data_set(name)
    assert isinstance(found, PreparedDataSet)
    assert {row.what: entry.least for entry, row in zip(found.expected, compare(found.expected, {}), strict=True)} == (
        EXPECTED[name]
    )
    for entry in found.expected:
        assert entry.names is None or len(set(entry.names())) == entry.least


def test_every_published_data_set_says_what_it_is() -> None:
    for name, found in DATA_SETS.items():
        # Other tests may have registered data sets of their own.
        ours = isinstance(found, PreparedDataSet) and found.builder.__module__.startswith("i2v_jax.")
        if ours and name != "folder":
            assert found.expected and found.citation and found.license


def test_differences_are_named() -> None:
    expected = [
        videos("train", "eval", least=3),
        videos("test", least=1, most=2),
        listed("eval", lambda: ["a", "b"], 2),
    ]
    agrees = {"train": ["c"], "eval": ["a", "b"], "test": ["x", "y"]}
    assert not any(row.difference for row in compare(expected, agrees))
    shared = {"train": ["c", "d", "e"], "eval": ["x"], "test": ["x"]}  # eval is test: only train is counted
    rows = compare(expected, shared)
    assert [row.found for row in rows] == [3, 1, 1]
    assert not rows[0].difference and not rows[1].difference
    assert "2 missing, for example a, b" in rows[2].difference and "1 not in the list" in rows[2].difference
    assert [row.difference for row in compare(expected[:2], {"train": ["c"], "test": list("uvwxyz")})] == [
        "2 missing", "4 too many"
    ]  # fmt: skip


def test_the_command_checks_what_is_prepared(tmp_path: Path, prepared: Prepare) -> None:
    raw_copies.bair_converted(tmp_path / "raw")
    prepared(Bair)
    command = [sys.executable, "-m", "launch.prepare", "--dataset=bair", f"--data_dir={tmp_path / 'out'}", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 1, done.stderr
    assert "43,007 missing" in done.stdout
