"""`python -m launch.demo`: trains, measures, and reuses what it finds."""

import json
import pathlib
import re

import pytest

from tests.launch.synthesis import last_line, launch


def test_an_unknown_argument_is_refused(tmp_path: pathlib.Path) -> None:
    done = launch("launch.demo", "--arguments=demo,sise=64", f"--workdir={tmp_path / 'demo'}")
    assert done.returncode == 2
    assert "sise" in last_line(done.stderr)
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_the_demo_and_its_second_run(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "demo"
    arguments = ("launch.demo", "--arguments=demo,runlocal", f"--workdir={folder}", "--clips=8")
    first = launch(*arguments)
    assert first.returncode == 0, first.stderr
    page = (folder / "index.html").read_text()
    assert 'src="sky/sample_0.mp4"' in page
    assert 'src="plants/background_0_0.mp4"' in page
    numbers = json.loads((folder / "numbers.json").read_text())
    assert 0 <= numbers["sky"]["control_error_degrees"] <= 180
    assert numbers["plants"]["target_error_still"] > 1
    assert f"launch.serve --workdir={folder / 'plants'}" in last_line(first.stdout)
    assert re.search(r"^all of it took [\d.]+ min$", first.stdout, re.MULTILINE)

    second = launch(*arguments)
    assert second.returncode == 0, second.stderr
    assert all(second.stdout.count(str(folder / name)) > 0 for name in ("sky", "plants"))
    log = second.stdout + second.stderr
    assert re.search(r"(\d+) of \1 steps", log)
    again = json.loads((folder / "numbers.json").read_text())
    for name in ("sky", "plants"):
        both = [{key: value for key, value in each[name].items() if key != "per_frame"} for each in (numbers, again)]
        assert both[1] == pytest.approx(both[0])
