"""`python -m launch.transfer` as a user runs it, on a work directory of untrained networks."""

import pathlib

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.launch import transfer
from tests.launch.synthesis import frames_of, last_line, launch


def test_motion_of_a_clip_on_an_image(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.transfer", f"--workdir={work / 'run'}", f"--clip={work / 'clip'}", f"--image={work / 'a.png'}",
        f"--out={tmp_path / 'out'}", "--direction=30", "--scale=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.mp4", "a.gif", "a_strip.png", "comparison.mp4", "comparison.png"}
    assert frames_of(tmp_path / "out" / "a.mp4") == [(32, 32)] * 17


def test_another_direction_for_a_clip_whose_own_is_measured(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.transfer", f"--workdir={work / 'run'}", f"--clip={work / 'clip'}", "--set", "direction=120",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the clip moves towards" in done.stdout
    assert frames_of(tmp_path / "out" / "clip_direction_120.mp4") == [(256, 256)] * 17


def test_a_clip_that_is_too_short_is_one_line(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.transfer", f"--workdir={work / 'run'}", f"--clip={work / 'clip'}", "--set=direction=5", "--start=2",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 2
    assert "18 frames, but 19 are needed" in last_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["direction", "direction=up", "speed=3", "direction=nan"])
def test_a_setting_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"--set={text}: direction=DEGREES or endpoint=x,y,z is needed"):
        transfer.set_control("direction", text)


def test_settings_as_controls() -> None:
    assert np.flatnonzero(transfer.set_control("direction", "direction=120")).tolist() == [12]
    endpoint = transfer.set_control("endpoint", "endpoint=0.42638585,-0.3080245,0.4")
    assert np.flatnonzero(endpoint).tolist() == [0, 10, 29]
    with pytest.raises(UserError, match="trained with control by direction only"):
        transfer.set_control("direction", "endpoint=1,2,3")
