"""The results of a benchmark: one JSON file, complete after every measurement."""

import datetime
import json
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

from i2v_jax import files


class Results:
    """Rows of numbers by name. Every change is written at once, so that whatever stops the process keeps them.

    The file holds "about" (versions, device, date), "running" (the measurement in progress), "not_measured" (that one
    and those to come), "failed" (measurement -> message) and "rows". What an earlier run on the same device wrote
    stays, unless it is measured again.

    Attributes:
      content: of the file.
    """

    def __init__(self, path: str, about: dict[str, Any]) -> None:
        """`about` has "device" and "quick". An empty `path` keeps the results in memory."""
        self._path = pathlib.Path(path) if path else None
        self._lock = threading.Lock()
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.content: dict[str, Any] = {
            "about": {**about, "date": now},
            "running": "",
            "not_measured": [],
            "failed": {},
            "rows": [],
        }
        if self._path and self._path.exists():
            earlier = json.loads(self._path.read_text())
            if all(earlier["about"][key] == about[key] for key in ("device", "quick")):
                self.content.update(failed=earlier["failed"], rows=earlier["rows"])
        self._rows = {row["name"]: row for row in self.content["rows"]}

    def begin(self, name: str, later: Sequence[str]) -> None:
        """Notes what is measured now, and what after it."""
        with self._lock:
            self.content.update(running=name, not_measured=[name, *later])
            self.content["failed"].pop(name, None)
            self._write()

    def fail(self, name: str, error: BaseException) -> None:
        """Notes that a measurement failed, and prints it."""
        with self._lock:
            self.content["failed"][name] = one_line(error)
            self._write()
        print(f"{name}: {one_line(error)}", flush=True)

    def add(self, part: str, name: str, **numbers: Any) -> None:
        """Adds numbers to a row, and prints them."""
        with self._lock:
            if name not in self._rows:
                self._rows[name] = {"part": part, "name": name}
                self.content["rows"].append(self._rows[name])
            self._rows[name].update(numbers)
            self.content["failed"].pop(name, None)
            self._write()
        shown = "  ".join(f"{key} {_short(value)}" for key, value in numbers.items())
        print(f"{part:10}{name}: {shown}", flush=True)

    def row(self, name: str) -> dict[str, Any]:
        """Returns the numbers of a row, {} if there is none."""
        return self._rows.get(name, {})

    def write(self) -> None:
        """Writes rows that were changed in place."""
        with self._lock:
            self._write()

    def finish(self, stopped: str = "") -> None:
        """Notes the end; `stopped` says why it came before the last measurement."""
        with self._lock:
            if not stopped:
                self.content.update(running="", not_measured=[])
            self.content["about"]["stopped"] = stopped
            self._write()

    def _write(self) -> None:
        if self._path:
            files.write_text(self._path, json.dumps(self.content, indent=1))


def one_line(error: BaseException) -> str:
    """Returns the beginning of an error's message."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{len(value)}]"
    return str(value)
