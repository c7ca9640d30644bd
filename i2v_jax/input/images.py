"""Reading images of all kinds: gray, palette, transparent, 16-bit, rotated by a camera."""

import contextlib
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from i2v_jax.errors import UserError
from i2v_jax.input import transforms, videos
from i2v_jax.pixels import from_levels

UPLOAD_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
UPLOAD_PIXELS = 50_000_000


def read_rgb(path: Path) -> np.ndarray:
    """Reads an image file as upright RGB, uint8 [h, w, 3].

    Gray is repeated over the channels, palettes are expanded, 16-bit values are scaled to 8 bits, transparent pixels
    are blended with white, and the camera's orientation (EXIF) is applied.

    Raises:
        UserError: the file is missing, empty or truncated, or not an image.
    """
    videos.check_file(path)
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


def read_image(path: str | Path, size: int, crop: str) -> np.ndarray:
    """Reads a start frame.

    Args:
        path: an image file.
        size: height and width of the result.
        crop: "resize" squeezes the image to a square; "center" (and "random") crops the central square first.

    Returns:
        float32 [size, size, 3] in [-1, 1].

    Raises:
        UserError: see `read_rgb`.
    """
    return to_start_frame(read_rgb(Path(path)), size, crop)


def to_start_frame(pixels: np.ndarray, size: int, crop: str) -> np.ndarray:
    """Converts an image uint8 [h, w, 3] to a start frame float32 [size, size, 3] in [-1, 1], see `read_image`."""
    return from_levels(transforms.fit(pixels[None], size, transforms.eval_crop(crop))[0])


def unique_names(paths: Sequence[str | Path]) -> list[str]:
    """Returns the file names without suffix, with a number appended to those that repeat."""
    names: list[str] = []
    for path in paths:
        stem = Path(path).stem
        numbered = (f"{stem}~{number}" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([stem], numbered) if name not in names))
    return names


def read_clip(path: str | Path, frames: int, size: int, crop: str, *, start: int = 0, stride: int = 1) -> np.ndarray:
    """Reads a clip from a video file or a folder of frames.

    Args:
        path: a video file, or a folder whose images are the frames in natural order.
        frames: T, the number of frames to read.
        size: height and width of the result.
        crop: see `read_image`.
        start: index of the first frame.
        stride: distance between the frames that are read.

    Returns:
        float32 [T, size, size, 3] in [-1, 1].

    Raises:
        UserError: the file cannot be read, or has too few frames.
    """
    path = Path(path)
    stop = start + (frames - 1) * stride + 1
    if path.is_dir():
        files = videos.frame_files(path)
        found = len(files)
        chosen = [read_rgb(file) for file in files[start:stop:stride]] if found >= stop else []
    else:
        chosen = list(itertools.islice(videos.iterate_frames(path), start, stop, stride))
        found = start + (len(chosen) - 1) * stride + 1 if chosen else 0
    if len(chosen) < frames:
        raise UserError(
            f"{path}: {found} frames, but {stop} are needed to read {frames} from {start} in steps of {stride}",
            "frames",
            found,
        )
    fitted = [transforms.fit(frame[None], size, transforms.eval_crop(crop))[0] for frame in chosen]
    return from_levels(np.stack(fitted))


def is_plain_jpeg(path: Path) -> bool:
    """Returns whether the bytes of a file decode to the result of `read_rgb`: a color JPEG that is not rotated."""
    with Image.open(path) as image:
        if image.format != "JPEG" or image.mode != "RGB":
            return False
        try:
            return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        except Exception:  # damaged EXIF: `read_rgb` does not rotate it either
            return True
