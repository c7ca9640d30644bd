"""Bad input: one line on standard error that names what is wrong, exit status 2, no traceback, nothing written."""

import json
import pathlib
import resource
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2v_jax.configs import sky
from i2v_jax.training.saved_networks import load_networks
from tests import compiling
from tests.compiling import HANG
from tests.end_to_end import runs
from tests.launch.synthesis import ROOT, launch
from tests.sampling.random_run import write_run


def slow(*cases: tuple[object, ...]) -> list[Any]:
    """Marks cases as slow, because each starts a command."""
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the single error line of a command that failed."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--config=configs/sky.py --config.data.sice=3", ["data.sice", "data.size"]),
        *slow(
            ("--config=configs/sea.py", ["'configs/sea.py'"]),
            ("--config=configs/sky.py:sice=32", ["'sice'"]),
            ("--config=configs/sky.py:stage=gan", ["stage", "'gan'", "video_vae, image_ae, flow"]),
            ("--config=configs/sky.py --config.nothing.at.all=3", ["nothing.at.all"]),
            ("--config=configs/sky.py --config.data.size=big", ["data.size", "'big'"]),
            ("--config=sky:runlocal,data.size=32", ["--config.data.size=32"]),
            ("--config=configs/sky.py --speed=3", ["'speed'"]),
            ("configs/sky.py", ["['configs/sky.py']"]),
        ),
    ],
)
def test_training_with_wrong_arguments(tmp_path: pathlib.Path, arguments: str, named: list[str]) -> None:
    workdir = tmp_path / "run"
    error = error_of(launch("launch.train", f"--workdir={workdir}", *arguments.split()))
    assert all(text in error for text in named), error
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("", "--image"),
        *slow(("--image=a.png --chain=odd", "--chain=odd"), ("--image=a.png --frames=0", "--frames=0")),
    ],
)
def test_sampling_with_wrong_arguments(tmp_path: pathlib.Path, arguments: str, named: str) -> None:
    folders = (f"--workdir={tmp_path}", f"--out={tmp_path / 'out'}")
    assert named in error_of(launch("launch.sample", *folders, *arguments.split()))


def test_the_flow_before_the_other_stages(tmp_path: pathlib.Path) -> None:
    done = launch("launch.train", "--config=configs/sky.py:runlocal,size=32,stage=flow", f"--workdir={tmp_path}")
    error = error_of(done)
    assert "flow" in error and ":stage=video_vae" in error


def test_training_without_the_weights_of_lpips(tmp_path: pathlib.Path, cache: pathlib.Path) -> None:
    assert not list(cache.rglob("lpips*"))
    config = "folder:size=32,runlocal"
    fields = ("data.name=sky", "data.num_clips.train=8", "data.num_clips.eval=8")
    options = [f"--config.{field}" for field in fields]
    done = launch("launch.train", f"--config={config}", *options, f"--workdir={tmp_path / 'run'}")
    assert "python -m launch.weights --fetch lpips" in error_of(done)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A work directory of untrained networks for 32x32 pixels."""
    folder = tmp_path_factory.mktemp("bad_input") / "run"
    write_run(folder, sky.get_config("demo,runlocal"))
    return folder


def test_the_work_directory_of_another_configuration(run: pathlib.Path) -> None:
    before = (run / "config.json").read_text()
    done = launch("launch.train", "--config=configs/sky.py:size=64,runlocal", f"--workdir={run}")
    error = error_of(done)
    assert all(text in error for text in ("data.size", "32", "64")), error
    assert (run / "config.json").read_text() == before


def test_sampling_with_the_config_of_another_resolution(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy, image = tmp_path / "run", tmp_path / "a.png"
    shutil.copytree(run, copy)
    fields = json.loads((copy / "config.json").read_text())
    fields["data"]["size"] = 64
    (copy / "config.json").write_text(json.dumps(fields))
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(image)
    done = launch("launch.sample", f"--workdir={copy}", f"--image={image}", f"--out={tmp_path / 'out'}")
    error = error_of(done)
    assert all(text in error for text in ("config.json", "32", "64")), error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"these are words", *slow((None,), (b"",))])
def test_sampling_from_a_file_that_is_not_an_image(
    run: pathlib.Path, tmp_path: pathlib.Path, content: bytes | None
) -> None:
    image = tmp_path / "a.jpg"
    if content is not None:
        image.write_bytes(content)
    done = launch("launch.sample", f"--workdir={run}", f"--image={image}", f"--out={tmp_path / 'out'}")
    assert str(image) in error_of(done)
    assert not (tmp_path / "out").exists()


_NOT_WRITABLE = """
import os, sys
make = os.mkdir
def mkdir(path, *args, **options):
    if "orbax-checkpoint-tmp" in os.fspath(path):
        raise PermissionError(13, os.strerror(13), os.fspath(path))
    make(path, *args, **options)
os.mkdir = mkdir
from i2v_jax.launch import _app
from tests.training.tiny import tiny_trainer
_app.run(lambda argv: tiny_trainer(sys.argv[1], 9).run(), positional="FOLDER")
"""


@pytest.mark.slow
def test_a_folder_of_checkpoints_that_cannot_be_written_ends_training(tmp_path: pathlib.Path) -> None:
    """With the threads that Orbax would leave, it printed the error and stayed."""
    command = [sys.executable, "-c", _NOT_WRITABLE, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=compiling.environment(), timeout=HANG, check=False
    )
    assert done.returncode == 2, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert str(tmp_path / "checkpoints") in error and "free some space" not in error
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_full_disk_leaves_the_earlier_checkpoints_intact(tmp_path: pathlib.Path) -> None:
    """Files are limited to 64 KiB, which fails like a full disk for a checkpoint, but not for a line of the log."""
    spec = "sky:runlocal,size=32,stage=image_ae data.num_clips.train=40 data.num_clips.eval=4 image_ae.steps="
    runs.train(f"{spec}4", tmp_path)
    before = load_networks(tmp_path / "image_ae")
    done = subprocess.run(
        runs.train_command(f"{spec}8", tmp_path),
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16)),
        capture_output=True,
        text=True,
        env=compiling.environment(),
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    # TensorStore's native threads may print, at times, that the event loop of their writes is closed: even into a line.
    assert "Task exception" not in done.stderr and "ERROR:" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert str(tmp_path / "image_ae") in error
    after = load_networks(tmp_path / "image_ae")
    assert after["step"] == before["step"] == 4
    assert "step 4 of 8" in runs.train(f"{spec}8", tmp_path)
