"""Start frames and clips from the files and images of a user."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.media.images import decode_image, read_rgb
from i2v_jax.media.reading import Reading
from i2v_jax.pixels import from_levels, to_uint8

AnyImage = str | os.PathLike[str] | Image.Image | NDArray[Any]


def pixels_of(image: AnyImage) -> NDArray[np.uint8]:
    """Returns an image as uint8 [h, w, 3].

    Args:
        image: the path of a file; an image of PIL, which is read as `media.images.read_rgb` reads its file; an array
            [h, w], [h, w, 3] or [h, w, 4] of uint8; or an array [h, w, 3] in [-1, 1].

    Raises:
        UserError: see `media.images.read_rgb`; another kind of array.
    """
    if isinstance(image, str | os.PathLike):
        return read_rgb(Path(image))
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        if array.ndim == 3 and array.shape[2] == 3 and array.dtype.kind == "f" and np.abs(array).max(initial=0) <= 1:
            return to_uint8(array)
        if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,), (4,)) or array.ndim < 2 or not array.size:
            raise UserError(
                f"an array of {array.dtype} {list(array.shape)} is not an image: give uint8 [h, w, 3] or numbers in "
                "[-1, 1]",
                "image",
                list(array.shape),
            )
        image = Image.fromarray(array)
    buffer = io.BytesIO()
    try:
        image.save(buffer, "TIFF", exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
    except OSError as error:  # a mode that TIFF does not have
        raise UserError(
            f"an image of mode {image.mode} cannot be read: convert it to RGB", "image", image.mode
        ) from error
    return decode_image(buffer.getvalue(), "the image")


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
