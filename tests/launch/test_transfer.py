"""`python -m launch.transfer` as a user runs it, on a work directory of untrained networks."""

import pathlib

import pytest

from i2v_jax.errors import UserError
from i2v_jax.launch import _synthesis
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


@pytest.mark.slow
def test_another_direction_for_a_clip_whose_own_is_measured(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.transfer", f"--workdir={work / 'run'}", f"--clip={work / 'clip'}", "--set", "direction=120",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "direction" in done.stdout
    assert frames_of(tmp_path / "out" / "clip_direction_120.mp4") == [(256, 256)] * 17


def test_a_clip_that_is_too_short_is_one_line(work: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(
        "launch.transfer", f"--workdir={work / 'run'}", f"--clip={work / 'clip'}", "--set=direction=5", "--start=2",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 2
    assert "18 frames" in last_line(done.stderr) and "19" in last_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["direction", "direction=", "speed=3", "none=1"])
def test_a_setting_that_names_no_control_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        _synthesis.named_control("--set", text)


def test_a_setting_names_a_control() -> None:
    assert _synthesis.named_control("--set", "endpoint=0.6,0.1,0.25") == {"endpoint": "0.6,0.1,0.25"}
