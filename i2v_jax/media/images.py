"""Reading images of all kinds: gray, palette, transparent, 16-bit, rotated by a camera."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from i2v_jax.errors import UserError
from i2v_jax.media import paths

UPLOAD_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
UPLOAD_PIXELS = 50_000_000


def read_rgb(path: Path) -> np.ndarray:
    """Reads an image file as upright RGB, uint8 [h, w, 3].

    Gray is repeated over the channels, palettes are expanded, 16-bit values are scaled to 8 bits, transparent pixels
    are blended with white, and the camera's orientation (EXIF) is applied.

    Raises:
        UserError: the file is missing, empty or truncated, or not an image.
    """
    paths.check_file(path)
    with path.open("rb") as file:
        return _read(file, str(path))


def decode_upload(content: bytes, name: str = "the image", pixels: int = UPLOAD_PIXELS) -> np.ndarray:
    """Decodes an uploaded image like `read_rgb`: uint8 [h, w, 3].

    Args:
        content: the bytes of the file.
        name: of the image, for messages.
        pixels: the maximum number of pixels, which is checked before anything is decoded.

    Raises:
        UserError: see `read_rgb`; or the format is not in `UPLOAD_FORMATS`, or there are more than `pixels` pixels.
    """
    if not content:
        raise UserError(f"{name}: the file is empty", "file", name)
    return _read(io.BytesIO(content), name, formats=UPLOAD_FORMATS, pixels=pixels)


def upload_size(content: bytes, name: str = "the image", pixels: int = UPLOAD_PIXELS) -> tuple[int, int]:
    """Returns (width, height) of an upload from its header; arguments and errors are those of `decode_upload`."""
    if not content:
        raise UserError(f"{name}: the file is empty", "file", name)
    with _opened(io.BytesIO(content), name, UPLOAD_FORMATS, pixels) as image:
        return image.size


def _read(file: BinaryIO, name: str, formats: tuple[str, ...] | None = None, pixels: int = 0) -> np.ndarray:
    with _opened(file, name, formats, pixels) as image:
        image.load()
        return _to_rgb(_upright(image))


@contextlib.contextmanager
def _opened(file: BinaryIO, name: str, formats: tuple[str, ...] | None, pixels: int) -> Iterator[Image.Image]:
    """Opens an image of at most `pixels` pixels (0: any). Raises UserError for any failure in its context."""
    try:
        with Image.open(file, formats=formats) as image:
            if pixels and image.width * image.height > pixels:
                raise UserError(
                    f"{name}: {image.width}x{image.height} pixels are too many, {pixels / 1e6:.0f} million at most",
                    "file",
                    name,
                )
            yield image
    except UserError:
        raise
    except UnidentifiedImageError as error:
        known = f" (known here: {', '.join(formats)})" if formats else ""
        raise UserError(f"{name}: not an image that can be read{known}", "file", name) from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: the image has too many pixels to be read", "file", name) from error
    except Exception as error:  # decoders raise many types: struct.error, TypeError, KeyError, ...
        words = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name}: damaged or truncated image ({words})", "file", name) from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF does not make the image unreadable
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more of gray
        values = np.nan_to_num(np.asarray(image, np.float64))
        gray = np.rint(values * (255.0 / 65535.0) if values.max() > 255 else values)
        return np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


def decode_frame(encoded: bytes, shrink: int = 1) -> np.ndarray:
    """Decodes a stored JPEG to uint8 [h, w, 3] at 1/shrink (1, 2, 4, 8) of its size, which skips most of the work."""
    flags = {
        1: cv2.IMREAD_COLOR_RGB,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags[shrink])
    if image is None:
        raise UserError("a stored frame is damaged: prepare the data set again")
    return image if shrink == 1 else np.ascontiguousarray(image[..., ::-1])


def is_plain_jpeg(path: Path) -> bool:
    """Returns whether the bytes of a file decode to the result of `read_rgb`: a color JPEG that is not rotated."""
    with Image.open(path) as image:
        if image.format != "JPEG" or image.mode != "RGB":
            return False
        try:
            return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        except Exception:  # damaged EXIF: `read_rgb` does not rotate it either
            return True
