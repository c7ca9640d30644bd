"""What happened to a training, as JSON lines in `STAGE/events.jsonl`: starts, stops, damaged checkpoints."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from i2v_jax import files
from i2v_jax.commands import started
from i2v_jax.errors import UserError
from i2v_jax.training.json_lines import read_json_lines

_FILE = "events.jsonl"


def record(folder: str | os.PathLike[str], event: str, **details: Any) -> None:
    """Appends a line {"time", "event", name: detail, ...} to the events of a stage. Raises UserError if it cannot."""
    path = files.location(folder) / _FILE
    before = path.read_bytes() if path.is_file() else b""
    line = json.dumps({"time": round(time.time(), 3), "event": event, **details}) + "\n"
    files.write_bytes(path, before + line.encode())


def record_start(folder: str | os.PathLike[str], step: int, steps: int, mesh: Mesh) -> None:
    """Records that training goes on after `step` of `steps`, where and how. Raises UserError if it cannot."""
    record(
        folder,
        "continued" if step else "started",
        step=step,
        steps=steps,
        devices=f"{mesh.size} x {mesh.devices.flat[0].device_kind}",
        processes=jax.process_count(),
        host=platform.node(),
        command=started(),
    )


@contextlib.contextmanager
def recording_failures(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Records the exception that ends the context, if one does and the folder can be written."""
    try:
        yield
    except BaseException as error:
        words = " ".join(str(error).split()) or type(error).__name__
        with contextlib.suppress(UserError):
            record(folder, "failed", error=words[:500])
        raise


def read_events(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the events of a stage in order, without damaged lines, of which a warning tells."""
    return read_json_lines(files.location(folder) / _FILE, event=str, time=float)
