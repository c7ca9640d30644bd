"""The notebook runs, and shows what is written in it."""

import json
import pathlib
import re
from typing import Any

import pytest

from tests.docs.notebook import NOTEBOOK, run


def shown(notebook: dict[str, Any]) -> list[Any]:
    """What all cells print and display: texts as they are, and how many videos with which captions."""
    found: list[Any] = []
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        data = output.get("data", {"text/plain": output.get("text")})
        found.append("".join(data["text/plain"]))
        found.append(re.findall("<figcaption[^>]*>(.*)</figcaption>", "".join(data.get("text/html", []))))
    return found


@pytest.mark.slow
def test_the_notebook_shows_what_is_written_in_it(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(NOTEBOOK.read_text())
    written = shown(notebook)
    assert sum(len(captions) for captions in written[1::2]) >= 4
    assert shown(run(notebook)) == written
    assert (tmp_path / "clouds.mp4").stat().st_size > 0
