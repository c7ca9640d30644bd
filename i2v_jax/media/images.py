"""Reading images of all kinds: gray, palette, transparent, deep, rotated by a camera, with a color profile."""

import contextlib
import functools
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from i2v_jax.errors import UserError
from i2v_jax.media import color, paths

UPLOAD_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
UPLOAD_PIXELS = 50_000_000
JPEG_BEGINS = b"\xff\xd8"
_PNG_BEGINS = b"\x89PNG\r\n\x1a\n"
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_PROFILE_BYTES = 2**20  # a longer color profile is left out; Pillow refuses the image
_BITS = (8, 10, 12, 16)  # of deep images: the fewest that hold the largest value
_FLOAT_WHITE_IS_ONE = 8.0  # floats up to here have white at 1; some pixels may be brighter than white


def read_rgb(path: Path, white: float | None = None) -> np.ndarray:
    """Reads an image file as upright sRGB, uint8 [h, w, 3].

    Gray is repeated over the channels, palettes are expanded, transparent pixels are blended with white, and the
    camera's orientation (EXIF) and the color profile are applied. Of an image with several pages this is the first.

    Args:
        path: an image file.
        white: for deep images (more than 8 bits, or floats), the value of white: see `white_level`. By default that of
            this image.

    Raises:
        UserError: the file is missing, empty or truncated, or not an image.
    """
    return shown(read_levels(path), white)


def read_levels(path: Path) -> np.ndarray:
    """Reads an image file like `read_rgb`, but leaves deep images as they are.

    Returns:
        uint8 [h, w, 3]; of deep images [h, w] or [h, w, 3 or 4] of another type.
    """
    paths.check_file(path)
    return _read(path.read_bytes(), paths.printable(path))


def white_level(largest: float, dtype: np.dtype[Any]) -> float:
    """Returns the value that is shown as white, of the largest value of an image or of all images of a video.

    Integers have the fewest of 8, 10, 12 or 16 bits that hold the largest value. Floats have white at 1 if they are
    not much larger, and otherwise are read like integers. Larger values than 16 bits are relative to the largest.
    """
    if dtype.kind == "f" and largest <= _FLOAT_WHITE_IS_ONE:
        return 1.0
    return next((2.0**bits - 1 for bits in _BITS if largest < 2**bits), float(largest))


def is_deep(levels: np.ndarray) -> bool:
    """Returns whether `read_levels` left an image as it is."""
    return levels.dtype != np.uint8 or levels.ndim == 2


def largest_level(levels: np.ndarray) -> float:
    """Returns the largest finite value of a deep image."""
    finite = levels[np.isfinite(levels)] if levels.dtype.kind == "f" else levels
    return float(finite.max()) if finite.size else 0.0


def shown(levels: np.ndarray, white: float | None = None) -> np.ndarray:
    """Returns what `read_levels` reads as uint8 [h, w, 3]; `white` is that of `read_rgb`."""
    if not is_deep(levels):
        return levels
    if white is None:
        white = white_level(largest_level(levels), levels.dtype)
    scaled = np.nan_to_num(levels.astype(np.float64), posinf=np.inf, neginf=0) * (255 / white)
    pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[2] == 4:
        opaque = np.iinfo(levels.dtype).max if levels.dtype.kind in "ui" else 1
        pixels[..., 3] = np.rint(np.clip(levels[..., 3] * (255.0 / opaque), 0, 255))
        return color.on_white(pixels)
    return pixels


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
    return shown(_read(content, name, formats=UPLOAD_FORMATS, pixels=pixels))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decodes the bytes of an image file like `read_rgb`: uint8 [h, w, 3]; `name` is for messages."""
    return shown(_read(content, name))


def upload_size(content: bytes, name: str = "the image", pixels: int = UPLOAD_PIXELS) -> tuple[int, int]:
    """Returns (width, height) of an upload from its header; arguments and errors are those of `decode_upload`."""
    if not content:
        raise UserError(f"{name}: the file is empty", "file", name)
    with opened(content, name, UPLOAD_FORMATS, pixels) as image:
        return image.size


def _read(content: bytes, name: str, formats: tuple[str, ...] | None = None, pixels: int = 0) -> np.ndarray:
    try:
        with opened(content, name, formats, pixels) as image:
            return page_levels(image, content)
    except UserError as error:
        known = formats or not isinstance(error.__cause__, UnidentifiedImageError)
        if known or (levels := _with_opencv(content)) is None:  # floats in color are what OpenCV reads beside Pillow
            raise
        return levels


@contextlib.contextmanager
def opened(content: bytes, name: str, formats: tuple[str, ...] | None = None, pixels: int = 0) -> Iterator[Image.Image]:
    """Opens an image of at most `pixels` pixels (0: any). Raises UserError for any failure in its context."""
    try:
        with Image.open(io.BytesIO(without_text(content)), formats=formats) as image:
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


def without_text(content: bytes) -> bytes:
    """Returns a PNG without its texts and without a very large color profile: Pillow refuses large ones."""
    if not content.startswith(_PNG_BEGINS):
        return content
    kept, start, place = [], 0, len(_PNG_BEGINS)
    while place + 8 <= len(content):
        kind, end = content[place + 4 : place + 8], place + 12 + int.from_bytes(content[place : place + 4], "big")
        if kind in _TEXT_CHUNKS or (kind == b"iCCP" and _is_large(content[place + 8 : end - 4])):
            kept.append(content[start:place])
            start = end
        place = end
    return b"".join([*kept, content[start:]]) if kept else content


def _is_large(profile: bytes) -> bool:
    unpacked = zlib.decompressobj()
    with contextlib.suppress(zlib.error):
        unpacked.decompress(profile.partition(b"\0")[2][1:], _PROFILE_BYTES)
    return bool(unpacked.unconsumed_tail)


def page_levels(image: Image.Image, content: bytes, page: int = 0) -> np.ndarray:
    """Returns the current page of an opened image as `read_levels` does; `content` are the bytes of its file."""
    if image.mode.startswith("I") or image.mode == "F":  # gray
        return np.asarray(_upright(image))
    if any(";16" in str(tile.args) for tile in getattr(image, "tile", ())):  # Pillow would keep 8 bits of each color
        levels = _with_opencv(content, page)
        if levels is not None and levels.dtype != np.uint8:
            return _turned(levels, image)
    image.load()
    return _to_rgb(_in_srgb(_upright(image)))


def _with_opencv(content: bytes, page: int = 0) -> np.ndarray | None:
    """Returns an image as it is, in the order RGB or RGBA; None if OpenCV does not read it."""
    encoded = np.frombuffer(content, np.uint8)
    if page:
        found = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED, None, (page, page + 1))[1]
        levels = found[0] if found else None
    else:
        levels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if levels is None or levels.ndim == 2:
        return levels
    return levels[..., [2, 1, 0, 3][: levels.shape[2]]]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF does not make the image unreadable
        return 1


def _turned(levels: np.ndarray, image: Image.Image) -> np.ndarray:
    orientation = _orientation(image)
    if orientation >= 5:
        levels = levels.swapaxes(0, 1)
    return levels[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF does not make the image unreadable
        return image


def _in_srgb(image: Image.Image) -> Image.Image:
    """Returns an image with its color profile applied."""
    profile = image.info.get("icc_profile")
    mode = "CMYK" if image.mode == "CMYK" else "RGB"
    transform = _transform(profile, mode) if profile and image.mode in ("RGB", "RGBA", "P", "CMYK") else None
    if transform is None:
        return image
    with contextlib.suppress(ImageCms.PyCMSError, ValueError):
        alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        plain = image if image.mode == mode else image.convert("RGBA").convert(mode)
        image = ImageCms.applyTransform(plain, transform) or image
        if alpha:
            image.putalpha(alpha)
    return image


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the transform from a color profile to sRGB; None if it is sRGB, or damaged."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def has_own_colors(image: Image.Image) -> bool:
    """Returns whether an image has a color profile that is not sRGB."""
    profile = image.info.get("icc_profile")
    return bool(profile) and _transform(profile, "CMYK" if image.mode == "CMYK" else "RGB") is not None


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


def is_jpeg(path: Path) -> bool:
    """Returns whether an image file, whatever its name, is a JPEG."""
    with path.open("rb") as file:
        return file.read(2) == JPEG_BEGINS


def is_plain_jpeg(path: Path) -> bool:
    """Returns whether a file is a color JPEG in sRGB that is not rotated: it decodes to what `read_rgb` returns."""
    if not is_jpeg(path):
        return False
    with Image.open(path) as image:
        plain = image.format == "JPEG" and image.mode == "RGB" and not has_own_colors(image)
        return plain and _orientation(image) == 1
