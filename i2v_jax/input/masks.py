"""Masks of what moves: GrabCut on a frame, and masks that are stored next to a prepared data set.

    DATA/masks/train/000012.npy    video 12: one record for each frame, see `record`
    DATA/masks/train/options.json  the options that the masks of the split were made with

The release segments the start frame, as the network sees it, of iPER and Tai-Chi.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from i2v_jax.input import record_files, transforms

_ITERATIONS = 5


def grabcut(frame: np.ndarray, border: int, size: int = 0) -> np.ndarray:
    """Returns which pixels show an upright object in the middle, int32 [h, w] of zeros and ones, by GrabCut.

    It starts from a rectangle over three fifths of the width and all of the height but the border. The result depends
    on the frame only.

    Args:
        frame: uint8 [h, w, 3].
        border: height in pixels of what is background at the top and at the bottom.
        size: the shorter side of the frame that is segmented, at most; 0: as it is. The time of GrabCut grows faster
            than the number of pixels: 7 ms at 64x64, 59 ms at 128x128, 330 ms at 256x256.
    """
    height, width = frame.shape[:2]
    scale = min(1.0, size / min(height, width)) if size else 1.0
    small = transforms.resize(np.ascontiguousarray(frame), round(scale * height), round(scale * width))
    rows, columns = small.shape[:2]
    top = max(1, round(scale * border))
    rectangle = (columns // 5, top, 3 * columns // 5, rows - 2 * top)
    labels, models = np.zeros((rows, columns), np.uint8), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.setRNGSeed(0)  # of this thread: GrabCut starts with k-means
    cv2.grabCut(small, labels, rectangle, *models, _ITERATIONS, cv2.GC_INIT_WITH_RECT)
    objects = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.resize(objects, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.int32)


def record(height: int, width: int) -> np.dtype[Any]:
    """Returns the type of a record: a mask of `height` x `width` pixels, eight of a row in a byte."""
    return np.dtype([("width", "<i4"), ("bits", "u1", (height, -(-width // 8)))])


def to_record(mask: np.ndarray) -> np.ndarray:
    """Returns the record of a mask [h, w]."""
    return np.array((mask.shape[1], np.packbits(mask != 0, axis=1)), record(*mask.shape))


@dataclasses.dataclass(frozen=True)
class MaskStore:
    """The masks that `launch.prepare --masks` stored for the videos of splits."""

    prepared: Path  # the prepared data set
    stored_splits: Mapping[str, int]  # see `record_files.path`

    @property
    def folder(self) -> Path:
        """The folder of the masks of all splits."""
        return self.prepared / "masks"

    def path(self, video: int) -> Path:
        return record_files.path(self.folder, self.stored_splits, video)

    def read(self, video: int, frame: int) -> np.ndarray:
        """Returns the mask of a frame, int32 [h, w] of zeros and ones. Raises UserError if it cannot be read."""
        stored = record_files.read(self.path(video), frame)
        return np.unpackbits(stored["bits"], axis=1, count=int(stored["width"])).astype(np.int32)


def fit(mask: np.ndarray, size: int, crop: str, crop_offset: tuple[float, float]) -> np.ndarray:
    """Crops and resizes the mask of a whole frame as `transforms.fit` does with frames; the arguments are the same."""
    shown = mask[transforms.seen(mask, crop, crop_offset)].astype(np.uint8)
    return cv2.resize(shown, (size, size), interpolation=cv2.INTER_NEAREST).astype(np.int32)
