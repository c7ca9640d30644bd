"""Logs of JSON lines, which a crash may cut short."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from i2v_jax import files
from i2v_jax.logs import logger


def read_json_lines(path: str | os.PathLike[str], **kinds: type) -> list[dict[str, Any]]:
    """Returns the lines of a log, without damaged ones, of which a warning tells.

    Nothing tells of a last line that a crash cut short.

    Args:
      path: of the log; without a file there are no lines.
      kinds: the fields that every line has, and their types; `float` stands for any finite number.
    """
    path = files.location(path)
    written = path.read_bytes().split(b"\n") if path.is_file() else []
    lines = [_parsed(line, kinds) for line in written]
    if damaged := [index + 1 for index, line in enumerate(lines[:-1]) if line is None]:
        logger.warning(f"{path}: left out {len(damaged)} damaged lines, the first of which is line {damaged[0]}")
    return [line for line in lines if line is not None]


def _parsed(line: bytes, kinds: Mapping[str, type]) -> dict[str, Any] | None:
    """Returns a line, None if it is damaged."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    fits = isinstance(fields, dict) and all(_is(fields.get(name), kind) for name, kind in kinds.items())
    return fields if fits else None


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)
