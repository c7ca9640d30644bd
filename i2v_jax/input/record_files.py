"""Files of equal records, `.npy` files of which one record is read at a time."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from i2v_jax.commands import command
from i2v_jax.errors import UserError


def path(folder: Path, stored_splits: Mapping[str, int], video: int) -> Path:
    """Returns the file of a video: `SPLIT/NNNNNN.npy` below `folder`.

    Args:
        folder: of the files of all splits.
        stored_splits: the number of videos of each split that the videos are from, one after the other.
        video: counted through these splits.
    """
    for split, count in stored_splits.items():
        if video < count:
            return folder / split / f"{video:06d}.npy"
        video -= count
    raise IndexError(video)


def read(path: Path, index: int) -> np.ndarray:
    """Returns one record of a file, reading its bytes only.

    Raises:
        UserError: the file is missing or damaged, or has fewer records.
    """
    try:
        offset, dtype, count = _layout(path)
        if not 0 <= index < count:
            raise ValueError(f"it has {count} records, not {index}")
        with path.open("rb") as file:
            file.seek(offset + index * dtype.itemsize)
            return np.frombuffer(file.read(dtype.itemsize), dtype)[0]
    except (ValueError, OSError, IndexError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run {command('prepare')} again") from error


def count(path: Path) -> int:
    """Returns how many records a file has."""
    return _layout(path)[2]


@functools.lru_cache(maxsize=4096)
def _layout(path: Path) -> tuple[int, np.dtype[Any], int]:
    """Returns where the records of a file start, their type, and how many there are."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.names is None:
            dtype = np.dtype((dtype, shape[1:]))
        return file.tell(), dtype, shape[0]
