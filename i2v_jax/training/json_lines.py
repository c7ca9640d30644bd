"""Logs of JSON lines, which a crash may cut short."""

import json
import os
from typing import Any

from i2v_jax import files
from i2v_jax.logs import logger


def read_json_lines(path: str | os.PathLike[str], key: str, kind: type) -> list[dict[str, Any]]:
    """Returns the lines of a log, without damaged ones, of which a warning tells.

    Nothing tells of a last line that a crash cut short.

    Args:
      path: of the log; without a file there are no lines.
      key: a field that every line has.
      kind: its type.
    """
    path = files.location(path)
    written = path.read_bytes().split(b"\n") if path.is_file() else []
    lines = [_parsed(line, key, kind) for line in written]
    if damaged := [index + 1 for index, line in enumerate(lines[:-1]) if line is None]:
        logger.warning(f"{path}: left out {len(damaged)} damaged lines, the first of which is line {damaged[0]}")
    return [line for line in lines if line is not None]


def _parsed(line: bytes, key: str, kind: type) -> dict[str, Any] | None:
    """Returns a line, None if it is damaged."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and isinstance(fields.get(key), kind) else None
