"""A control that is registered from outside is trained, sampled and evaluated with like any other."""

import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from i2v_jax.config_files import load
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import read_records
from tests.launch.synthesis import frames_of, last_line, launch
from tests.sampling.random_run import write_run

MODULE = "tests.extending.toy_control"
FIELDS = (f"plugins={MODULE}", "control=side", "flow.steps=2", "data.num_clips.train=8")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns a work directory with two untrained stages and a flow that was trained with the control."""
    folder = tmp_path_factory.mktemp("control") / "run"
    write_run(folder, load("sky:demo,runlocal", FIELDS))
    shutil.rmtree(folder / "flow")
    fields = [f"--config.{field}" for field in FIELDS]
    done = launch("launch.train", "--config=sky:demo,runlocal", "--config.stage=flow", *fields, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_samples_with_a_control_from_outside(workdir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    sample = ("launch.sample", f"--workdir={workdir}", f"--image={tmp_path / 'a.png'}", f"--out={tmp_path / 'out'}")
    done = launch(*sample, "--num_samples=1", "--control=side=left", "--scale=1")
    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "out" / "a_00.mp4") == [(32, 32)] * 17
    refused = launch(*sample, "--control=side=up")
    assert refused.returncode == 2
    assert last_line(refused.stderr).startswith("error: side=up")


@pytest.mark.slow
def test_an_evaluation_with_a_control_from_outside(workdir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.evaluate", f"--workdir={workdir}", f"--out={tmp_path}", "--metrics=psnr", "--clips=2", "--shown=0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = read_records(tmp_path / "metrics.json")
    assert record.protocol.pairing.endswith("the true side")


def test_a_name_is_taken_once() -> None:
    from i2v_jax.tasks import control
    from tests.extending.toy_control import Side

    with pytest.raises(UserError) as raised:
        control.register(Side())
    assert raised.value.value == "side"
