"""The benchmark of an accelerator: its file of results, what it derives, and each of its parts on a CPU."""

import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import accelerator  # noqa: E402
from benchmarks.parts import fixtures, kernels, report  # noqa: E402
from benchmarks.parts.results import Results  # noqa: E402
from tests import compiling  # noqa: E402
from tests.benchmarks.test_benchmarks import ROOT, benchmark, rows  # noqa: E402

ABOUT = {"device": "a card", "quick": False, "jax": "1", "torch": "2", "load": "0"}


def test_results_are_complete_after_every_measurement(tmp_path):
    path = tmp_path / "results.json"
    results = Results(str(path), ABOUT)
    results.begin("first", ["second"])
    results.add("bair", "a step", eager={"median_s": 2.0})
    content = json.loads(path.read_text())
    assert (content["running"], content["not_measured"]) == ("first", ["first", "second"])
    assert content["rows"] == [{"part": "bair", "name": "a step", "eager": {"median_s": 2.0}}]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_second_run_adds_to_the_rows_of_the_first(tmp_path):
    path = tmp_path / "results.json"
    first = Results(str(path), ABOUT)
    first.add("bair", "a step", eager=1.0)
    first.add("bair", "another", eager=3.0)
    first.fail("a step, compiled", MemoryError("all of it"))
    first.fail("another, compiled", MemoryError("all of it"))
    second = Results(str(path), ABOUT)
    second.begin("a step, compiled", [])
    second.add("bair", "a step", compiled=2.0)
    assert json.loads(path.read_text())["failed"] == {"another, compiled": "MemoryError: all of it"}
    assert rows(path)[0] == {"part": "bair", "name": "a step", "eager": 1.0, "compiled": 2.0}
    assert len(rows(path)) == 2
    Results(str(path), {**ABOUT, "device": "another card"}).add("bair", "a step", eager=5.0)
    assert rows(path) == [{"part": "bair", "name": "a step", "eager": 5.0}]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_rounding_has_the_variance_of_one_rounding(dtype):
    """Of numbers between 1 and 2, where a unit in the last place is the same for all: its square over 12."""
    numbers = np.random.default_rng(1).uniform(1, 2, 100_000).astype(np.float32)
    unit = {"float32": 2**-23, "bfloat16": 2**-7}[dtype]
    error = np.asarray(fixtures.rounded_once({"x": numbers}, dtype)["x"], np.float64) - numbers
    assert np.mean(np.square(error / unit)) == pytest.approx(1 / 12, rel=0.05)  # 10 standard errors
    np.testing.assert_array_equal(fixtures.rounded_once(np.arange(3), dtype), np.arange(3))


def test_a_trace_names_the_most_expensive_operation():
    """Sorting a million numbers takes longer than a product of two matrices of 64x64."""
    small, large = jnp.ones((64, 64)), jnp.ones((64, 256, 64))  # sorted along an axis of 256

    @jax.jit
    def both(small, large):
        return small @ small, jnp.sort(large, axis=1)

    found = kernels.most_expensive(lambda: jax.block_until_ready(both(small, large)), steps=1)
    shares = [kernel["share"] for kernel in found["kernels"]]
    assert "sort" in found["kernels"][0]["name"]
    assert shares == sorted(shares, reverse=True) and 0.5 < sum(shares) <= 1.0 + 1e-6
    assert found["kernels"][0]["calls"] >= 1


def test_the_summary_has_every_row():
    side = {"median_s": 0.5, "examples_per_s": 20.0, "times_eager": 2.0, "share_of_peak": 0.4, "memory_gib": 3.0}
    verdict = {"within": False, "worst": "video", "error": 0.2, "tolerance": 0.1, "rounding": 0.02}
    kernel = {"name": "conv", "operation": "fusion.1", "calls": 2, "seconds": 0.1, "share": 0.3}
    content = {
        "about": {**ABOUT, "date": "2026-11-26T21:00:00+00:00"},
        "not_measured": ["the rest"],
        "failed": {"a measurement": "MemoryError: all of it"},
        "rows": [
            {"part": "bair", "name": "a step", "batch": 10, "jax_bfloat16": side},
            {"part": "sampling", "name": "one video", "jax_bfloat16": {"median_s": 0.1, "videos_per_s": 10.0}},
            {"part": "kernels", "name": "its kernels", "kernels": [kernel], "busy_s": 0.4, "kernels_per_step": 9},
            {"part": "fixtures", "name": "a fixture", "float32": verdict},
            {"part": "settings", "name": "products", "message": "no tile sizes"},
        ],
    }
    text = report.markdown(content)
    assert "| a step (10) | ours, bfloat16 | 500.0 | 20.0 | 2.00 | 40% | 3.0 |  |  |" in text
    assert "| a fixture | float32 | **no** | video | 0.2 | 0.1 | 0.02 |" in text
    assert "- a measurement: MemoryError: all of it\n- products: no tile sizes" in text
    for part in ("one video", "`conv`", "Not measured: the rest"):
        assert part in text


@pytest.mark.slow
def test_parts_run_singly_and_a_stop_keeps_what_was_measured(tmp_path):
    """Ends the program after the flow's part, during the next one."""
    path = tmp_path / "out.json"
    arguments = ("--quick", "--parts=fixtures,flow,compiled", f"--out={path}")
    command = [sys.executable, "-u", "-m", "benchmarks.accelerator", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=compiling.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert any("flow" in line and "eager_bfloat16" in line for line in process.stdout)
        process.terminate()
    content = json.loads(path.read_text())
    found = {row["name"]: row for row in content["rows"]}
    step = found.pop("bair flow, likelihood")
    assert step["batch"] == 2 and step["gflop"] > 0
    assert step["jax_bfloat16"]["times_eager"] == step["eager_float32"]["median_s"] / step["jax_bfloat16"]["median_s"]
    assert step["eager_bfloat16"]["median_s"] > 0 and step["jax_bfloat16"]["compile_s"] > 0
    assert set(found) == set(fixtures.SMALL)
    assert all(row["float32"]["within"] for row in found.values())
    assert found["patch_discriminator"]["bfloat16"]["within"]
    assert content["failed"] == {}
    assert all("compiled_" in name for name in content["not_measured"][1:])
    assert len(content["not_measured"]) >= 3


@pytest.mark.long
def test_every_part_runs(tmp_path):
    path = tmp_path / "out.json"
    began = time.monotonic()
    parts = f"{accelerator.DEFAULT},compiled,float32,batches,settings"
    benchmark("accelerator", "--quick", "--minutes=120", f"--parts={parts}", f"--out={path}")
    content = json.loads(path.read_text())
    assert content["failed"] == {}, f"after {time.monotonic() - began:.0f} s"
    assert content["not_measured"] == []
