"""Stores masks of a prepared data set, by GrabCut on every frame, for training and evaluation (`input.masks`)."""

import json
from pathlib import Path

import numpy as np

from i2v_jax.data import sidecars
from i2v_jax.input import masks, transforms
from i2v_jax.input.sources import RecordSource

_CHUNK = 64  # frames that are read at once
_BORDER = 25  # sizes in a border of GrabCut's rectangle: a poke of 5 pixels at 128x128


def store_masks(prepared: Path, split: str, size: int, threads: int) -> sidecars.Summary:
    """Stores a mask of every frame of a split, of frames with a shorter side of at most `size` pixels.

    Raises:
        UserError: there are masks of another size, or the disk is full.
    """
    source = RecordSource(prepared, split)

    def write(video: int, path: Path) -> None:
        found = []
        for begin in range(0, source.num_frames(video), _CHUNK):
            frames = source.read(video, range(begin, min(begin + _CHUNK, source.num_frames(video))), size)
            found += [masks.to_record(_mask(frame, size)) for frame in frames]
        with path.open("wb") as file:
            np.save(file, np.stack(found))

    folder = masks.MaskStore(prepared, source.stored_splits).folder / split
    options = {"masks": "grabcut", "mask_size": size}
    return sidecars.store(source, folder, write, options, threads=threads, what="masks")


def stored_size(prepared: Path) -> int:
    """Returns the size of the masks that are stored; 0 if there are none."""
    options = [json.loads(path.read_text()) for path in prepared.glob("masks/*/options.json")]
    return options[0]["mask_size"] if options else 0


def _mask(frame: np.ndarray, size: int) -> np.ndarray:
    height, width = transforms.within(frame.shape[0], frame.shape[1], size)
    small = transforms.resize(frame, height, width)
    return masks.grabcut(small, max(1, min(height, width) // _BORDER))
