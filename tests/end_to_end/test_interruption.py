"""A run that is stopped, stopped again and killed ends where an uninterrupted one does, bit for bit."""

import pathlib
import signal
import subprocess

import jax
import numpy as np
import pytest

from i2v_jax.training.interrupt import INTERRUPTED
from i2v_jax.training.saved_networks import load_networks
from tests.end_to_end import runs

# Batch norm, spectral norm, a discriminator and averaged parameters are all in this stage.
_SPEC = (
    "sky:runlocal,size=32,stage=image_ae data.num_clips.train=40 data.num_clips.eval=4 train.checkpoint_every=5"
    " data.workers=1"
    " train.evaluate_every=1000000 train.preview_every=1000000 image_ae.steps="
)
_ENDLESS = f"{_SPEC}1000000"


def _start_and_take_steps(workdir: pathlib.Path, count: int) -> subprocess.Popen[str]:
    """Starts a run without an end, and returns it `count` steps after its last checkpoint."""
    folder = workdir / "image_ae"
    before = max(runs.checkpoints(folder), default=0)
    process = runs.start(_ENDLESS, workdir)
    runs.wait_until(lambda: before + count in runs.steps(folder), process)
    return process


@pytest.mark.slow
def test_stopped_twice_and_killed_once_is_the_same_run(tmp_path: pathlib.Path) -> None:
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    folder = parts / "image_ae"
    for number in (signal.SIGTERM, signal.SIGINT):
        before = max(runs.checkpoints(folder), default=0)
        process = _start_and_take_steps(parts, 7)
        runs.signal_group(process, number)
        status, output = runs.finish(process)
        assert status == INTERRUPTED, output
        assert f"{number.name}: " in output and "image_ae: stopped and saved" in output
        assert "Traceback" not in output and "Worker process" not in output
        assert not runs.orphans(process)
        assert (f"after step {before} of" in output) == (before > 0)
        # The log ends where the checkpoint does: nothing that was trained is lost.
        assert runs.checkpoints(folder)[-1] == runs.steps(folder)[-1] >= before + 7

    before = runs.checkpoints(folder)[-1]
    process = _start_and_take_steps(parts, 12)
    process.kill()
    # The pipe that `finish` reads to its end stays open as long as a worker lives.
    assert runs.finish(process)[0] == -signal.SIGKILL
    assert not runs.orphans(process)
    last = runs.checkpoints(folder)[-1]
    assert last > before

    spec = f"{_SPEC}{last + 3}"
    assert f"after step {last} of {last + 3}" in runs.train(spec, parts)
    runs.train(spec, whole)
    assert runs.steps(folder) == list(range(1, last + 4))
    resumed, uninterrupted = (load_networks(run / "image_ae") for run in (parts, whole))
    assert resumed["step"] == last + 3
    assert resumed["model_state"]["decoder"].keys() >= {"batch_stats", "spectral"}
    jax.tree.map(np.testing.assert_array_equal, resumed, uninterrupted)
    assert runs.losses(folder) == runs.losses(whole / "image_ae")
