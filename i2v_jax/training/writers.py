"""The log of a training: JSON lines, TensorBoard events, and pictures."""

import contextlib
import json
import math
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from i2v_jax import charts, files, media
from i2v_jax.errors import UserError
from i2v_jax.training.json_lines import read_json_lines

_FPS = 8
_WORDS = {  # labels of the vertical axis; other metrics have their names in the log
    "bits_per_dimension": "bits per dimension of z",
    "kl": "KL divergence (nats)",
    "l1": "mean absolute error (of pixels in [-1, 1])",
    "nll": "negative log-likelihood (nats)",
    "perceptual": "perceptual distance",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
}


class MetricWriter:
    """Appends scalars to `folder/metrics.jsonl`, and to TensorBoard event files where TensorBoard is installed.

    A context manager that closes the files.
    """

    def __init__(self, folder: pathlib.Path, step: int) -> None:
        """Continues at `step`: drops lines of later steps, which a killed run wrote after its last checkpoint.

        Raises:
          UserError: the folder cannot be written.
        """
        self._path = folder / "metrics.jsonl"
        with files.writing(self._path):
            kept = [line for line in read_metrics(folder) if line["step"] <= step]
            self._file = files.GrowingText(self._path, "".join(json.dumps(line) + "\n" for line in kept))
            self._events = _event_writer(folder)

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        # A line that failed on a full disk would only fail again.
        with contextlib.suppress(OSError):
            self._file.close()

    def flush(self) -> None:
        """Makes sure that no line is lost if the process is killed; without it, the last ones in a bucket may be."""
        with self._failing():
            self._file.flush()

    def write(self, step: int, scalars: Mapping[str, float], prefix: str = "") -> None:
        """Writes one line {"step", "time", name: value, ...}, with null for values that are not finite.

        Raises:
          UserError: it cannot be written.
        """
        named = {prefix + name: float(value) for name, value in scalars.items()}
        numbers = {name: value if math.isfinite(value) else None for name, value in named.items()}
        with self._failing():
            line = json.dumps({"step": step, "time": round(time.time(), 3), **numbers}, allow_nan=False)
            self._file.write(line)
            if self._events is not None:
                self._events(step, named)

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Turns an OSError of its context into a UserError of one line."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot write the log in {self._path.parent} ({error.strerror or error}): the checkpoints there are "
                f"intact; {files.remedy(error)}, then the same command continues",
                "workdir",
                str(self._path.parent),
            ) from error


def read_metrics(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the lines that a `MetricWriter` wrote, without damaged ones, of which a warning tells."""
    return read_json_lines(files.location(folder) / "metrics.jsonl", step=int)


def series(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """Returns (step, value) of the lines that hold a number under `name`."""
    return [(line["step"], line[name]) for line in lines if isinstance(line.get(name), int | float)]


def write_preview(folder: pathlib.Path, step: int, rows: Mapping[str, np.ndarray]) -> None:
    """Writes `folder/previews/STEP.mp4` and `.png` (first and last frames): a row per label, clips side by side.

    Args:
      rows: label -> clips [N, T, H, W, 3] in [-1, 1].
    """
    grids = [(label, media.grid(clips, columns=len(clips))) for label, clips in rows.items()]
    size = next(iter(rows.values())).shape[2]
    scale = max(1, 128 // size)
    video = media.stack_rows([(label, media.enlarge(grid, scale)) for label, grid in grids])
    target = folder / "previews"
    target.mkdir(parents=True, exist_ok=True)
    media.write_png(target / f"{step:07d}.png", media.side_by_side([("", video[:1]), ("", video[-1:])])[0])
    if len(video) > 1:
        media.write_mp4(target / f"{step:07d}.mp4", video, fps=_FPS)


def write_curves(folder: pathlib.Path) -> None:
    """Draws `folder/curves/METRIC.png` for each held-out metric of the log, with its training values where logged."""
    lines = read_metrics(folder)
    for key in sorted({key for line in lines for key in line if key.startswith("eval/")}):
        name = key.removeprefix("eval/")
        curves = {"held out": series(lines, key), "training": series(lines, name)}
        drawn = {label: points for label, points in curves.items() if points}
        if drawn:
            words = _WORDS.get(name, name.replace("_", " "))
            chart = charts.line_chart(drawn, f"Stage {folder.name}", "training step", words)
            files.write_bytes(folder / "curves" / f"{name}.png", charts.png(chart))


def write_matrix(folder: pathlib.Path, step: int, name: str, matrix: np.ndarray, classes: tuple[str, ...]) -> None:
    """Writes `folder/NAME/STEP.png`.

    Args:
      matrix: [K, K], K at least as many as there are `classes`.
      classes: names of the first rows and columns; the others are numbered.
    """
    labels = [*classes, *map(str, range(len(classes), len(matrix)))]
    chart = charts.matrix_chart(matrix, labels, f"{name} after step {step}")
    files.write_bytes(folder / name / f"{step:07d}.png", charts.png(chart))


def _event_writer(folder: pathlib.Path) -> Any:
    """Returns a function (step, scalars) that writes TensorBoard events, None if TensorBoard is not installed.

    There are none in a bucket: an event file grows line by line, and an object cannot.
    """
    if files.is_in_bucket(folder):
        return None
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        return None
    writer = EventFileWriter(str(folder))

    def write(step: int, scalars: Mapping[str, float]) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        writer.add_event(Event(step=step, wall_time=time.time(), summary=Summary(value=values)))
        writer.flush()

    return write
