"""Single frames as the bytes that a data set stores: JPEG, PNG or WebP."""

import contextlib
import multiprocessing
import struct
from pathlib import Path

import cv2
import kornia_rs.io
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.media.images import JPEG_BEGINS, is_plain_jpeg, without_text

FORMATS = ("jpeg", "png", "webp")
_PNG_BEGINS = b"\x89PNG\r\n\x1a\n"
_PLAIN_RGB = bytes((8, 2, 0, 0, 0))  # in the header of a PNG: 8 bits, RGB, not interlaced
_LONGEST_TEXT = 4096  # bytes in a PNG that is kept; longer ones, such as a workflow in every frame, are left out
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def encode(frame: np.ndarray, chosen: str, jpeg_quality: int) -> tuple[bytes, str]:
    """Encodes a frame uint8 [h, w, 3], and returns the bytes and a name for how they were encoded.

    Args:
        frame: RGB.
        chosen: "png" or "webp", which are lossless, or "jpeg", which keeps the resolution of colors (4:4:4).
        jpeg_quality: 1 to 100.

    Raises:
        UserError: the format cannot hold frames of this size.
    """
    parameters = {
        "jpeg": [
            *(cv2.IMWRITE_JPEG_QUALITY, jpeg_quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 6],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # more than 100 is lossless
    }
    try:
        done, encoded = cv2.imencode(f".{chosen}", frame[..., ::-1], parameters[chosen])
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels cannot be stored as {chosen}")
    return encoded.tobytes(), f"jpeg {jpeg_quality}" if chosen == "jpeg" else f"lossless {chosen}"


def keep(path: Path, frame: np.ndarray) -> tuple[bytes, str] | None:
    """Returns the bytes of a JPEG or PNG file, without long texts, if they decode to `frame`, and a name for them.

    Args:
        path: an image file.
        frame: what `images.read_rgb` reads from it.

    Returns:
        None if they decode to something else.
    """
    if is_plain_jpeg(path):
        return path.read_bytes(), "jpeg as it arrived"
    with path.open("rb") as file:
        if file.read(8) != _PNG_BEGINS:
            return None
    encoded = path.read_bytes()
    if len(encoded) - len(shorter := without_text(encoded)) > _LONGEST_TEXT:
        encoded = shorter
    with contextlib.suppress(UserError):
        if np.array_equal(decode(encoded), frame):  # it may be transparent, turned, or have 16 bits
            return encoded, "lossless png"
    return None


def decode(encoded: bytes, shrink: int = 1) -> np.ndarray:
    """Decodes a stored frame to uint8 [h, w, 3].

    Args:
        encoded: the bytes.
        shrink: a JPEG is decoded at 1/shrink (1, 2, 4, 8) of its size, which skips most of the work. Other formats are
            decoded at their full size.

    Raises:
        UserError: the bytes are damaged.
    """
    # kornia_rs keeps Python's lock while it decodes: good in a process that reads, not in threads beside a training
    if multiprocessing.parent_process() is not None and (plain := _decode_plain_png(encoded)) is not None:
        return plain
    reduced = _REDUCED.get(shrink) if encoded[:2] == JPEG_BEGINS else None
    flag = cv2.IMREAD_COLOR_RGB if reduced is None else reduced
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)
    if image is None:
        raise UserError("a stored frame is damaged: prepare the data set again")
    return image if reduced is None else np.ascontiguousarray(image[..., ::-1])


def _decode_plain_png(encoded: bytes) -> np.ndarray | None:
    """Returns the frame of a PNG, in half the time that OpenCV takes; None if it is of another kind, or damaged."""
    if not encoded.startswith(_PNG_BEGINS) or encoded[24:29] != _PLAIN_RGB:
        return None
    width, height = struct.unpack(">II", encoded[16:24])
    with contextlib.suppress(Exception):  # it raises nothing more specific
        return kornia_rs.io.decode_image_png_u8(encoded, (height, width), "rgb")
    return None
