"""A data set that is registered from outside is prepared, trained, sampled and evaluated with like any other."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from i2v_jax.config_files import load
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.registry import DATA_SETS, open_split, register
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import read_records
from tests.extending.toy_data_set import MOVING_SQUARES, MovingSquares
from tests.input.helpers import write_frames
from tests.launch.synthesis import frames_of, last_line, launch
from tests.sampling.random_run import write_run

MODULE = "tests.extending.toy_data_set"


def moving_square(degrees: float) -> np.ndarray:
    """17 frames, uint8 [17, 32, 32, 3]."""
    frames = np.zeros((17, 32, 32, 3), np.uint8)
    for time, frame in enumerate(frames):
        x = 12 + round(0.5 * time * np.cos(np.radians(degrees)))
        y = 12 - round(0.5 * time * np.sin(np.radians(degrees)))
        frame[y : y + 8, x : x + 8] = 255
    return frames


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder that `launch.prepare` wrote."""
    folder = tmp_path_factory.mktemp("squares")
    for index, degrees in enumerate((0, 90, 180, 270)):
        for split in ("train", "eval", "test"):
            write_frames(folder / "raw" / split / f"{index}_{degrees}", moving_square(degrees))
    prepare = ("launch.prepare", "--dataset=moving_squares", f"--raw_dir={folder / 'raw'}", f"--data_dir={folder}")
    unknown = launch(*prepare)
    assert unknown.returncode == 2
    assert "'moving_squares'" in last_line(unknown.stderr)
    done = launch(*prepare, f"--plugins={MODULE}")
    assert done.returncode == 0, done.stderr
    return folder


def fields(prepared: pathlib.Path) -> list[str]:
    return [f"plugins={MODULE}", "data.name=moving_squares", f"data.dir={prepared}", "control=direction", "data.flip=0"]


@pytest.fixture(scope="module")
def workdir(prepared: pathlib.Path) -> pathlib.Path:
    """Returns a work directory with two untrained stages and a flow that was trained on the data set."""
    folder, spec = prepared / "run", "folder:size=32,runlocal"
    write_run(folder, load(spec, fields(prepared)))
    shutil.rmtree(folder / "flow")
    options = [f"--config.{field}" for field in fields(prepared)]
    done = launch("launch.train", f"--config={spec}", "--config.stage=flow", *options, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_its_clips_have_their_labels(prepared: pathlib.Path) -> None:
    data = load("folder:size=32", fields(prepared)).data
    source = open_split(data, "test")
    assert [source.name(video) for video in range(len(source))] == ["test/0_0", "test/1_90", "test/2_180", "test/3_270"]
    assert [int(source.labels(video, range(17))["direction"]) for video in range(4)] == [0, 9, 18, 27]


@pytest.mark.slow
def test_samples_of_a_model_trained_on_it(workdir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert json.loads((workdir / "config.json").read_text())["data"]["name"] == "moving_squares"
    Image.fromarray(moving_square(0)[0]).save(tmp_path / "a.png")
    done = launch(
        "launch.sample", f"--workdir={workdir}", f"--image={tmp_path / 'a.png'}", f"--out={tmp_path / 'out'}",
        "--num_samples=1", "--direction=90", "--scale=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "out" / "a_00.mp4") == [(32, 32)] * 17


@pytest.mark.slow
def test_an_evaluation_under_its_own_protocol(workdir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch("launch.evaluate", f"--workdir={workdir}", f"--out={tmp_path}", "--shown=0")
    assert done.returncode == 0, done.stderr
    records = {record.protocol.metric: record.protocol for record in read_records(tmp_path / "metrics.json")}
    assert records.keys() == {"psnr", "ssim"}
    assert (records["psnr"].protocol, records["psnr"].data) == ("moving_squares", "moving_squares")


def test_a_name_is_taken_once() -> None:
    register(MOVING_SQUARES)  # again: the same object
    with pytest.raises(UserError) as raised:
        register(PreparedDataSet(builder=MovingSquares, config="folder"))
    assert raised.value.value == "moving_squares"
    assert DATA_SETS["moving_squares"] is MOVING_SQUARES
