"""Reading images as they come: gray, palette, transparent, 16-bit, turned by a camera."""

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
    """Any image file as upright RGB: uint8 [h, w, 3].

    Gray is repeated over the channels, palettes are expanded, 16-bit values are scaled to 8, transparency shows white
    behind it, and the camera's orientation (EXIF) is applied.

    Raises:
        UserError: the file is missing, empty, truncated or no image.
    """
    videos.check_file(path)
    with path.open("rb") as file:
        return _read(file, str(path))


def decode_upload(content: bytes, name: str = "the image", pixels: int = UPLOAD_PIXELS) -> np.ndarray:
    """As `read_rgb`, from the bytes of a file that a stranger sent: uint8 [h, w, 3].

    Raises:
        UserError: as `read_rgb`; a format other than those of `UPLOAD_FORMATS`, or more than `pixels` pixels, which
            is told from the header, before anything is decoded. The message starts with `name`.
    """
    if not content:
        raise UserError(f"{name}: the file is empty")
    return _read(io.BytesIO(content), name, formats=UPLOAD_FORMATS, pixels=pixels)


def upload_size(content: bytes, name: str = "the image", pixels: int = UPLOAD_PIXELS) -> tuple[int, int]:
    """(width, height) of an upload, from its header alone. Arguments and errors as of `decode_upload`."""
    if not content:
        raise UserError(f"{name}: the file is empty")
    with _opened(io.BytesIO(content), name, UPLOAD_FORMATS, pixels) as image:
        return image.size


def _read(file: BinaryIO, name: str, formats: tuple[str, ...] | None = None, pixels: int = 0) -> np.ndarray:
    with _opened(file, name, formats, pixels) as image:
        image.load()
        return _to_rgb(_upright(image))


@contextlib.contextmanager
def _opened(file: BinaryIO, name: str, formats: tuple[str, ...] | None, pixels: int) -> Iterator[Image.Image]:
    """An image of at most `pixels` (0: any), its header read. Whatever fails with it is told in one line."""
    try:
        with Image.open(file, formats=formats) as image:
            if pixels and image.width * image.height > pixels:
                raise UserError(
                    f"{name}: {image.width}x{image.height} pixels are too many, {pixels / 1e6:.0f} million at most"
                )
            yield image
    except UserError:
        raise
    except UnidentifiedImageError as error:
        known = f" (known here: {', '.join(formats)})" if formats else ""
        raise UserError(f"{name}: not an image that can be read{known}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: the image has too many pixels to be read") from error
    except Exception as error:  # decoders raise what they stumble over: struct.error, TypeError, KeyError, ...
        words = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name}: damaged or truncated image ({words})") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the picture, which stays as it is
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
    """A stored JPEG as uint8 [h, w, 3], decoded at 1/shrink of its size (1, 2, 4, 8), which skips most of the work."""
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
    """A start frame.

    Args:
        path: an image file.
        size: the side of the result.
        crop: "resize" squeezes the image to a square, "center" (and "random") cuts out the middle square first.

    Returns:
        float32 [size, size, 3] in [-1, 1].

    Raises:
        UserError: see `read_rgb`.
    """
    return to_start_frame(read_rgb(Path(path)), size, crop)


def to_start_frame(pixels: np.ndarray, size: int, crop: str) -> np.ndarray:
    """`read_image` of an image that was read: uint8 [h, w, 3] -> float32 [size, size, 3] in [-1, 1]."""
    return from_levels(transforms.fit(pixels[None], size, transforms.eval_crop(crop))[0])


def unique_names(paths: Sequence[str | Path]) -> list[str]:
    """File names without suffix; a name that comes again is numbered."""
    names: list[str] = []
    for path in paths:
        stem = Path(path).stem
        numbered = (f"{stem}~{number}" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([stem], numbered) if name not in names))
    return names


def read_clip(path: str | Path, frames: int, size: int, crop: str, *, start: int = 0, stride: int = 1) -> np.ndarray:
    """A clip from a video file or a folder of frames.

    Args:
        path: a video file, or a folder whose images are the frames in natural order of their numbers.
        frames: T, how many to read.
        size: the side of the result.
        crop: as for `read_image`.
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
            f"{path}: {found} frames, but {stop} are needed to read {frames} from {start} in steps of {stride}"
        )
    fitted = [transforms.fit(frame[None], size, transforms.eval_crop(crop))[0] for frame in chosen]
    return from_levels(np.stack(fitted))


def is_plain_jpeg(path: Path) -> bool:
    """Whether the file's own bytes decode to what `read_rgb` gives: a color JPEG that is not turned."""
    with Image.open(path) as image:
        if image.format != "JPEG" or image.mode != "RGB":
            return False
        try:
            return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        except Exception:  # damaged EXIF: `read_rgb` does not turn it either
            return True
