"""The whole job of a user with a folder of clips: prepare, train, sample, transfer."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from i2v_jax.input.procedural.sky import render
from tests.end_to_end import runs
from tests.input.helpers import write_frames, write_video
from tests.launch.synthesis import frames_of, launch

_STAGES = ("video_vae", "image_ae", "flow")
_SPEC = (
    "folder:size=32,runlocal video_vae.loss.perceptual_network=laplacian image_ae.loss.perceptual_network=laplacian"
    " data.dir="
)


def _write_clips(folder: pathlib.Path) -> None:
    """Three videos and three folders of frames."""
    for number in range(6):
        clip = render("train", number, 48, range(20))
        if number < 3:
            write_video(folder / f"{number}.mp4", clip)
        else:
            write_frames(folder / f"frames{number}", clip)


def _succeed(*arguments: str | pathlib.Path) -> str:
    done = launch(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_a_folder_of_clips_to_videos(tmp_path: pathlib.Path) -> None:
    raw, data, run = tmp_path / "raw", tmp_path / "prepared", tmp_path / "run"
    _write_clips(raw)
    summary = _succeed("launch.prepare", "--dataset=folder", f"--raw_dir={raw}", f"--data_dir={data}")
    assert "train 4, eval 1, test 1" in summary

    spec = f"{_SPEC}{data}"
    runs.train(spec, run)
    for stage in _STAGES:
        assert runs.checkpoints(run / stage)[-1] == 4
        assert runs.steps(run / stage) == [1, 2, 3, 4]
        assert (run / stage / "previews" / "0000004.png").is_file()
    written = {
        path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "config.json"
    }
    again = runs.train(spec, run)
    assert all(re.search(rf"{stage}: .*4 of 4 steps", again) for stage in _STAGES)
    assert "compiled" not in again
    assert {path: path.stat().st_mtime_ns for path in written} == written

    image, out = tmp_path / "sky.png", tmp_path / "out"
    Image.fromarray(render("test", 0, 48, [0])[0]).save(image)
    common = (f"--workdir={run}", f"--image={image}", "--scale=1")
    _succeed("launch.sample", *common, f"--out={out}", "--num_samples=2", "--frames=48")
    assert {path.name for path in out.iterdir()} == {
        *(f"sky_0{index}{end}" for index in range(2) for end in (".mp4", ".gif", "_strip.png")),
        *("grid.mp4", "grid.png"),
    }
    for name in ("sky_00.mp4", "sky_01.gif"):
        assert frames_of(out / name) == [(32, 32)] * 49  # the start frame and 48 more
    assert len(frames_of(out / "grid.mp4")) == 49
    for name in ("sky_00_strip.png", "grid.png"):
        assert np.asarray(Image.open(out / name)).std() > 0

    _succeed("launch.transfer", *common, f"--clip={raw / '0.mp4'}", f"--out={tmp_path / 'moved'}")
    assert frames_of(tmp_path / "moved" / "sky.mp4") == [(32, 32)] * 17
    assert len(frames_of(tmp_path / "moved" / "comparison.mp4")) == 17
