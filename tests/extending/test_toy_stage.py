"""A stage that is registered from outside is trained, sampled and evaluated like any other."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from i2v_jax.evaluation.records import read_records
from tests.launch.synthesis import frames_of, launch

CONFIG = pathlib.Path(__file__).with_name("toy_stage_config.py")


@pytest.mark.slow
def test_a_stage_from_outside(tmp_path: pathlib.Path) -> None:
    workdir, out = tmp_path / "run", tmp_path / "out"
    train = ("launch.train", f"--config={CONFIG}", f"--workdir={workdir}", "--config.drift.steps=2")
    done = launch(*train)
    assert done.returncode == 0, done.stderr
    assert (workdir / "drift" / "checkpoints" / "2").is_dir()
    assert re.search(r"drift: .*2 of 2 steps", launch(*train).stdout)

    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    done = launch("launch.sample", f"--workdir={workdir}", f"--image={tmp_path / 'a.png'}", f"--out={out}", "--scale=1")
    assert done.returncode == 0, done.stderr
    assert frames_of(out / "a.mp4") == [(32, 32)] * 17

    done = launch(
        "launch.evaluate", f"--workdir={workdir}", f"--out={out}", "--metrics=psnr", "--clips=2", "--shown=0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = read_records(out / "metrics.json")
    assert record.model.step == 2
