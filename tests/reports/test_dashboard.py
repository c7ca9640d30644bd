"""The page about trainings holds what their logs say, and loads nothing."""

import json
import pathlib
import re

import numpy as np
import pytest

from i2v_jax import media
from i2v_jax.configs import sky
from i2v_jax.errors import UserError
from i2v_jax.reports.dashboard import write_dashboard
from i2v_jax.reports.training_logs import read_runs


def run(folder: pathlib.Path, steps: int = 40, **fields: object) -> str:
    """Makes a work directory that looks as after `steps` steps of its first stage, with one restart."""
    config = sky.get_config("demo")
    config.update(fields)
    stage = folder / "video_vae"
    stage.mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json_best_effort())
    lines = [
        {"step": step, "time": 1e9 + step, "loss": 1 / step, "gradient_norm/encoder": 2.0} for step in range(1, steps)
    ]
    lines += [{"step": steps, "time": 1e9 + steps, "eval/loss": 0.5}]
    lines += [{"step": steps, "time": 1e9 + steps, "system/step_seconds": 0.123, "system/data_wait": 0.25}]
    (stage / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = [
        {"time": 1e9, "event": "started", "step": 0, "steps": 700, "devices": "2 x TPU v4"},
        {"time": 1e9 + 9, "event": "continued", "step": 20, "steps": 700, "devices": "2 x TPU v4"},
        {"time": 1e9 + 20, "event": "failed", "error": "loss=<nan>"},
    ]
    (stage / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    media.write_png(stage / "previews" / "0000020.png", np.zeros((16, 16, 3), np.uint8))
    media.write_mp4(stage / "previews" / "0000020.mp4", np.zeros((4, 16, 16, 3), np.uint8), 8)
    return str(folder)


def page_of(folders: list[str], path: pathlib.Path) -> str:
    write_dashboard(folders, path)
    page = path.read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"https?://", re.sub(r' xmlns\S*="[^"]*"', "", page))
    return page


def test_one_run(tmp_path: pathlib.Path) -> None:
    page = page_of([run(tmp_path / "one")], tmp_path / "page.html")
    assert page.count("<svg") == 2 + 2  # the loss and the norm, the step time and the waiting
    assert ">held out</text>" in page and ">training</text>" in page
    for cells in (("failed",), ("40 of 700",), ("123 ms",), ("25.0%",), ("failed", "", "error loss=&lt;nan&gt;")):
        assert "".join(f"<td>{cell}</td>" for cell in cells) in page
    assert page.count("data:video/mp4;base64,") == 1


def test_two_runs_side_by_side(tmp_path: pathlib.Path) -> None:
    folders = [run(tmp_path / "one"), run(tmp_path / "two", steps=30, seed=5)]
    page = page_of(folders, tmp_path / "page.html")
    assert page.count("<svg") == 2 + 2
    assert page.count(">one</text>") == page.count(">two</text>") == 4
    assert page.index("<td>seed</td><td>0</td><td>5</td>") < page.index("All fields")
    assert page.count("data:video/mp4;base64,") == 2


def test_a_run_that_has_not_begun(tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.json").write_text(sky.get_config("demo").to_json_best_effort())
    assert "<svg" not in page_of([str(tmp_path)], tmp_path / "page.html")


def test_a_long_log_is_drawn_with_few_points(tmp_path: pathlib.Path) -> None:
    (long,) = read_runs([run(tmp_path / "long", steps=5000)])
    curve = long.stages["video_vae"].curve("loss")
    assert len(curve) <= 300 and curve[-1][0] == 4999
    assert curve[0] == (17, pytest.approx(np.mean(1 / np.arange(1, 18))))


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("metrics", '{"step": 41, "loss": 1.0}'),
        ("metrics", '{"step": 41, "time": "x", "loss": "abc"}'),
        ("metrics", '{"step": 41, "time": 1.0, "loss": [1]}'),
        ("events", '{"event": "started"}'),
        ("events", '{"event": "stopped", "time": "x"}'),
        ("events", '{"event": "stopped", "time": 1e30}'),
    ],
)
def test_lines_with_other_fields_do_not_cost_the_page(tmp_path: pathlib.Path, log: str, line: str) -> None:
    folder = run(tmp_path / "one")
    with (tmp_path / "one" / "video_vae" / f"{log}.jsonl").open("a") as file:
        file.write(line + "\n")
    assert page_of([folder], tmp_path / "page.html").count("<svg") == 2 + 2


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_what_is_not_a_work_directory(tmp_path: pathlib.Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError) as raised:
        read_runs([str(tmp_path)])
    assert (raised.value.field, raised.value.value) == ("run", str(tmp_path))
