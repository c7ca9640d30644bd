"""Names of video and image files: which there are in a folder, their order, and names for what is made of them."""

import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from i2v_jax.errors import UserError

VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".webm", ".mkv", ".gif", ".m4v", ".3gp", ".3g2", ".qt", ".mpg", ".mpeg", ".m2v", ".vob"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".ogv", ".mxf", ".y4m", ".dv"),
)
PAGED_SUFFIXES = (".png", ".apng", ".webp", ".tif", ".tiff", ".avif")  # of images that may hold a whole video
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".bmp", *PAGED_SUFFIXES)
_LONGEST = 200  # bytes of a name, of the 255 that file systems allow: suffixes are appended


def natural_key(path: Path | str) -> list[tuple[int, int, str]]:
    """Returns a sort key that orders numbers in names by value: frame9 before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def frame_files(folder: Path) -> list[Path]:
    """Returns the images of a folder in natural order, without hidden files."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted(files, key=lambda p: natural_key(p.name))


def printable(path: Path | str) -> str:
    """Returns a path as text; bytes of its name that are not UTF-8 are taken as Latin-1, which most of them were."""
    text = str(path)
    return "".join(chr(ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c for c in text)


def check_file(path: Path) -> None:
    """Raises UserError if a file is missing or empty."""
    name = printable(path)
    if not path.is_file():
        raise UserError(f"{name}: no such file", "file", name)
    if path.stat().st_size == 0:
        raise UserError(f"{name}: the file is empty", "file", name)


def short_name(name: str) -> str:
    """Returns a name to which suffixes can be appended: a long one is cut, and a digest tells it from its like."""
    encoded = name.encode()
    if len(encoded) <= _LONGEST:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return f"{encoded[: _LONGEST - 9].decode(errors='ignore').rstrip()}~{digest}"


def unique_names(paths: Sequence[str | Path]) -> list[str]:
    """Returns the file names without suffix, printable and short, with a number appended to those that repeat."""
    names: list[str] = []
    for path in paths:
        stem = short_name(printable(Path(path).stem))
        numbered = (f"{stem}~{number}" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([stem], numbered) if name not in names))
    return names
