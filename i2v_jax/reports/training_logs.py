"""What a work directory tells about its trainings: configuration, metrics, throughput, events and previews."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from i2v_jax import bundle, files
from i2v_jax.charts import Points
from i2v_jax.commands import command
from i2v_jax.config import flat
from i2v_jax.errors import UserError
from i2v_jax.training.events import read_events
from i2v_jax.training.writers import read_metrics, series

_MOST_POINTS = 300  # of a curve
_NO_METRICS = {"step", "time"}
_STARTS = ("started", "continued")


@dataclasses.dataclass(frozen=True)
class StageLog:
    """The log of one stage of a run."""

    name: str
    folder: pathlib.Path
    lines: Sequence[dict[str, Any]]  # of metrics.jsonl
    events: Sequence[dict[str, Any]]  # of events.jsonl

    @property
    def metrics(self) -> list[str]:
        """The names in the log, in order of appearance."""
        return [name for name in dict.fromkeys(name for line in self.lines for name in line) if name not in _NO_METRICS]

    @property
    def step(self) -> int:
        """The last step in the log."""
        return max((line["step"] for line in self.lines), default=0)

    @property
    def steps(self) -> int | None:
        """The number of steps that the stage was started for, None if that is not known."""
        return next((event["steps"] for event in reversed(self.events) if "steps" in event), None)

    @property
    def restarts(self) -> list[int]:
        """The steps after which training was continued."""
        return [event["step"] for event in self.events if event["event"] == "continued"]

    @property
    def state(self) -> str:
        """What the last event says: "training", or how it ended."""
        last = self.events[-1]["event"] if self.events else ""
        return "training" if last in _STARTS else last

    @property
    def seen(self) -> float:
        """When the log was last written, in seconds since 1970; 0 if it never was."""
        times = (line.get("time") for line in (*self.lines[-1:], *self.events[-1:]))
        return max((time for time in times if isinstance(time, int | float)), default=0.0)

    @property
    def preview(self) -> pathlib.Path | None:
        """The latest preview: a video if it has one, otherwise a picture."""
        files = [*self.folder.glob("previews/*.png"), *self.folder.glob("previews/*.mp4")]
        return max(files, key=lambda path: (path.stem, path.suffix == ".mp4"), default=None)

    def latest(self, name: str) -> float | None:
        """Returns the last value of a metric, None if there is none."""
        return next((line[name] for line in reversed(self.lines) if line.get(name) is not None), None)

    def curve(self, name: str) -> Points:
        """Returns (step, value) of a metric; of long logs the means over stretches of equal length."""
        points = series(self.lines, name)
        stretch = -(-len(points) // _MOST_POINTS) or 1
        parts = [points[begin : begin + stretch] for begin in range(0, len(points), stretch)]
        return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


@dataclasses.dataclass(frozen=True)
class Run:
    """A work directory."""

    name: str
    config: dict[str, Any]  # dotted name -> value
    stages: dict[str, StageLog]


def read_runs(folders: Sequence[str]) -> list[Run]:
    """Returns the runs in some work directories, named as their folders, or by their paths where names repeat.

    Raises:
        UserError: a folder is not a work directory, or is the file of a model.
    """
    names = [pathlib.Path(os.path.abspath(folder)).name for folder in folders]
    repeated = len(set(names)) < len(names)
    return [_read(folder, folder if repeated else name) for folder, name in zip(folders, names, strict=True)]


def _read(folder: str, name: str) -> Run:
    bundle.require_folder(folder, "it does not hold the logs of training")
    path = files.location(folder)
    try:
        config = json.loads((path / "config.json").read_text())
        stages = config["stages"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is not a work directory (no config.json that can be read): train one with {command('train')}",
            "run",
            folder,
        ) from error
    folders = {stage: path / stage for stage in stages}
    return Run(name, flat(config), {stage: _log(stage, place) for stage, place in folders.items()})


def _log(stage: str, folder: pathlib.Path) -> StageLog:
    return StageLog(stage, folder, read_metrics(folder), read_events(folder))
