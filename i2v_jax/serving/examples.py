"""The example images of the page: from a folder, or the first frames of held-out videos."""

import dataclasses
import os
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.media import images, paths

MAX_EXAMPLES = 12


@dataclasses.dataclass(frozen=True)
class Example:
    """An image and its name."""

    name: str
    pixels: np.ndarray  # uint8 [h, w, 3]


def from_folder(folder: str | os.PathLike[str]) -> dict[str, Example]:
    """Returns the first images of a folder, in natural order. Raises UserError if there is none or one is damaged."""
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"--examples={folder} does not exist: give a folder of images", "examples", str(folder))
    files = paths.frame_files(path)[:MAX_EXAMPLES]
    if not files:
        raise UserError(f"--examples={folder} has no images", "examples", str(folder))
    named = zip(paths.unique_names(files), files, strict=True)
    return {name: Example(name, images.read_rgb(file)) for name, file in named}


def from_data(data: ConfigDict) -> dict[str, Example]:
    """Returns the first frames of some test videos, or nothing if the data set is not available."""
    try:
        source = open_split(data, "test")
    except UserError:
        return {}
    chosen = np.linspace(0, len(source) - 1, min(MAX_EXAMPLES, len(source))).round().astype(int)
    return {
        f"{data.name}-{number + 1}": Example(f"{data.name}-{number + 1}", source.read(int(video), [0])[0])
        for number, video in enumerate(chosen)
    }
