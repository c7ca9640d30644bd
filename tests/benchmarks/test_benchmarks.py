"""Each benchmark runs on one small row, and both sides of a comparison compute the same."""

import json
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import timing, torch_stages  # noqa: E402
from benchmarks.stages import make_batch, make_config  # noqa: E402
from i2v_jax.pretrained.laplacian import laplacian_distance  # noqa: E402
from tests import compiling  # noqa: E402
from tests.compiling import HANG  # noqa: E402

ROOT = pathlib.Path(__file__).parents[2]


def benchmark(name, *arguments):
    """Returns the output of a benchmark that runs as its own process."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=compiling.environment(), capture_output=True, text=True, timeout=HANG, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(path):
    return json.loads(path.read_text())["rows"]


def test_interleaved_takes_turns_and_does_not_count_the_first_call():
    calls = []
    seconds = timing.interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3)
    assert calls == ["a", "b"] * 4
    assert len(seconds["a"].wall) == len(seconds["b"].processor) == 3


def test_interleaved_loses_patience():
    calls = []
    seconds = timing.interleaved({"a": lambda: calls.append("a")}, repeats=5, patience=0.0)
    assert len(calls) == 2
    assert len(seconds["a"].wall) == 1


def test_laplacian_distance_is_ours():
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32, 3)).astype(np.float32)
    theirs = torch_stages.LaplacianDistance()(*(torch.from_numpy(x).permute(0, 3, 1, 2) for x in (a, b)))
    np.testing.assert_allclose(theirs.numpy(), laplacian_distance(jnp.asarray(a), jnp.asarray(b)), rtol=1e-5)


@pytest.mark.parametrize(("stage", "update"), [("video_vae", "pretraining"), ("image_ae", "pretraining")])
def test_flops_are_counted_on_tensors_without_data(stage, update):
    """Counts BAIR's full networks; those of stage 1 are 1154 + 157 + 120 GFLOP a clip: decoder, encoder, LPIPS."""
    config = make_config("bair")
    config[stage].batch_size = 1
    with torch.device("meta"):
        runs = torch_stages.make_runs(config, stage, make_batch(config, stage), torch.device("meta"))
        flops = torch_stages.count_flops(runs[update])
    assert flops / 1e9 == pytest.approx({"video_vae": 1431, "image_ae": 90.5}[stage], rel=1e-3)


@pytest.mark.slow
def test_networks(tmp_path):
    benchmark("networks", "--quick", "--only=patch", f"--out={tmp_path / 'out.json'}")
    inference, training = rows(tmp_path / "out.json")
    assert (inference["kind"], training["kind"]) == ("inference", "training")
    assert inference["difference"] < 1e-4
    assert training["pytorch"]["min_s"] > 0 and training["jax"]["min_s"] > 0


@pytest.mark.slow
def test_metrics(tmp_path):
    benchmark("metrics", "--quick", f"--out={tmp_path / 'out.json'}")
    inference, rates = rows(tmp_path / "out.json")
    assert inference["difference"] < 1e-4
    assert rates["PyTorch"] > 0 and rates["JAX"] > 0


@pytest.mark.slow
def test_training_steps(tmp_path):
    benchmark("training_steps", "--quick", "--only=flow", f"--out={tmp_path / 'out.json'}")
    *compiling, step = rows(tmp_path / "out.json")
    assert [row["name"] for row in compiling] == [
        "flow: compile init",
        "flow: compile likelihood",
        "flow: compile, all",
    ]
    assert step["kind"] == "likelihood" and step["ratio"][0] > 0 and step["GFLOP"] > 0


@pytest.mark.slow
def test_convolutions():
    assert "encoder last" in benchmark("convolutions", "--repeats=1", "--only=encoder last")


@pytest.mark.slow
def test_device_prefetch(tmp_path):
    benchmark("device_prefetch", "--quick", "--step_ms=5", f"--out={tmp_path / 'out.json'}")
    (row,) = rows(tmp_path / "out.json")
    assert row["fed"] >= 5 and row["gap_ahead"] == row["ahead"] - row["fed"]
