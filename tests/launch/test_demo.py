"""`python -m launch.demo`: trains, measures, and reuses what it finds."""

import json
import pathlib

import pytest

from tests.launch.synthesis import last_line, launch


def test_another_data_set_is_refused(tmp_path: pathlib.Path) -> None:
    done = launch("launch.demo", "--config=configs/landscape.py", f"--workdir={tmp_path / 'demo'}")
    assert done.returncode == 2
    assert "the demo measures known directions of the procedural sky" in last_line(done.stderr)
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_the_demo_and_its_second_run(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "demo"
    arguments = ("launch.demo", "--config=configs/sky.py:demo,runlocal", f"--workdir={folder}", "--clips=8")
    first = launch(*arguments, timeout=1500)
    assert first.returncode == 0, first.stderr
    assert (folder / "index.html").is_file()
    numbers = json.loads((folder / "numbers.json").read_text())
    assert 0 <= numbers["control_error_degrees"] <= 180

    second = launch(*arguments, timeout=1500)
    assert second.returncode == 0, second.stderr
    assert "holds a run already" in second.stdout
    assert "finished already" in second.stdout + second.stderr
    assert json.loads((folder / "numbers.json").read_text()) == pytest.approx(numbers)
