"""Runs entry points as subprocesses and reads their files."""

import pathlib
import subprocess
import sys

import av

from tests import compiling
from tests.compiling import HANG

ROOT = pathlib.Path(__file__).parents[2]


def launch(*arguments: str | pathlib.Path, timeout: float = HANG) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=compiling.environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def frames_of(path: pathlib.Path) -> list[tuple[int, int]]:
    with av.open(path) as container:
        return [(frame.height, frame.width) for frame in container.decode(video=0)]
