"""Start frames and clips from the files of a user."""

from pathlib import Path

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.media.images import read_rgb
from i2v_jax.media.reading import Reading
from i2v_jax.pixels import from_levels


def read_image(path: str | Path, size: int, crop: str, resize: str = "area") -> np.ndarray:
    """Reads a start frame.

    Args:
        path: an image file.
        size: height and width of the result.
        crop: "resize" squeezes the image to a square; "center" (and "random") crops the central square first.
        resize: "area" or "release", see `transforms.resize`; a model should see images as it did in training.

    Returns:
        float32 [size, size, 3] in [-1, 1].

    Raises:
        UserError: see `media.images.read_rgb`.
    """
    return to_start_frame(read_rgb(Path(path)), size, crop, resize)


def to_start_frame(pixels: np.ndarray, size: int, crop: str, resize: str = "area") -> np.ndarray:
    """Converts an image uint8 [h, w, 3] to a start frame float32 [size, size, 3] in [-1, 1], see `read_image`."""
    return from_levels(transforms.fit(pixels[None], size, transforms.eval_crop(crop), kind=resize)[0])


def read_clip(
    path: str | Path, frames: int, size: int, crop: str, *, resize: str = "area", start: int = 0, stride: int = 1
) -> np.ndarray:
    """Reads a clip from a video file or a folder of frames.

    Args:
        path: a video file, or a folder whose images are the frames in natural order.
        frames: T, the number of frames to read.
        size: height and width of the result.
        crop, resize: see `read_image`.
        start: index of the first frame.
        stride: distance between the frames that are read.

    Returns:
        float32 [T, size, size, 3] in [-1, 1].

    Raises:
        UserError: the file cannot be read, or has too few frames.
    """
    path = Path(path)
    stop = start + (frames - 1) * stride + 1
    chosen = [frame.pixels for frame in Reading(path).frames(start, stop, stride)]
    found = start + (len(chosen) - 1) * stride + 1 if chosen else 0
    if len(chosen) < frames:
        raise UserError(
            f"{path}: {found} frames, but {stop} are needed to read {frames} from {start} in steps of {stride}",
            "frames",
            found,
        )
    return np.stack([to_start_frame(frame, size, crop, resize) for frame in chosen])
