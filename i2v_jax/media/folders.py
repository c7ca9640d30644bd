"""Finding the videos below a folder: video files, folders of images, and image files with several pages."""

import dataclasses
import functools
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

from i2v_jax.media.paths import IMAGE_SUFFIXES, PAGED_SUFFIXES, VIDEO_SUFFIXES, natural_key, printable
from i2v_jax.media.reading import is_paged

_Path = TypeVar("_Path", bound=PurePath)
_LOOKED_INTO = 64  # images of a folder that are opened to learn whether any has several pages


@dataclasses.dataclass
class Found:
    """What is below a folder, in natural order. Names are printable paths relative to it, each of them unique."""

    videos: dict[str, Path]
    others: dict[str, Path]  # files that are neither videos nor images
    left_out: dict[str, str]  # names of files and folders, and why


def find(root: Path) -> Found:
    """Returns the videos below a folder, see `sort_out`, without hidden files.

    A folder is visited once and a file is taken once, whatever links lead there.
    """
    found, reasons = _files_below(root)
    videos, others, no_frames = sort_out(found, is_paged)
    reasons |= no_frames
    names = _names(root, [*videos, *others, *reasons])
    shown, rest = set(videos), set(others)
    return Found(
        {name: path for path, name in names.items() if path in shown},
        {name: path for path, name in names.items() if path in rest},
        {name: reasons[path] for path, name in names.items() if path in reasons},
    )


def sort_out(
    paths: Sequence[_Path], is_paged: Callable[[_Path], bool]
) -> tuple[list[_Path], list[_Path], dict[_Path, str]]:
    """Returns the videos among files, which are files or folders; files of other kinds; and folders with no frames.

    The images of a folder are one video, unless there are videos beside them or they are named like videos: thumbnails
    and covers are no frames. If one of them has several pages, each that has is a video.

    Args:
        paths: the files.
        is_paged: whether an image has several pages.
    """
    videos = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
    stems, with_videos = {path.stem for path in videos}, {path.parent for path in videos}
    pictures: dict[_Path, list[_Path]] = defaultdict(list)
    others, no_frames = list[_Path](), dict[_Path, str]()
    for path in paths:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            pictures[path.parent].append(path)
        elif path.suffix.lower() not in VIDEO_SUFFIXES:
            others.append(path)
    paged = _paged(list(pictures.values()), is_paged)
    for folder, images in pictures.items():
        own = [path for path in images if path in paged and path.stem not in stems]
        videos += own
        if folder in with_videos or not paged.isdisjoint(images):
            if len(images) > len(own):
                no_frames[folder] = "images beside videos, which are not frames of one"
        elif all(path.stem in stems for path in images):
            no_frames[folder] = "images named like videos, which are not frames of one"
        else:
            videos.append(folder)
    return videos, others, no_frames


def files(root: Path) -> dict[str, Path]:
    """Returns all files below a folder, without hidden ones, by printable names relative to it, in natural order."""
    found, _ = _files_below(root)
    return {name: path for path, name in _names(root, found).items()}


def _files_below(root: Path) -> tuple[list[Path], dict[Path, str]]:
    """Returns the files below a folder, links after what they point to, and the files it left out with the reasons."""
    folders, real_files = [root], list[Path]()
    linked_folders, linked_files = list[Path](), list[Path]()
    seen: dict[str, Path] = {}
    left_out: dict[Path, str] = {}

    def is_new(path: Path) -> bool:
        first = seen.setdefault(os.path.realpath(path), path)
        if first != path:
            left_out[path] = f"a link to {printable(first.relative_to(root))}, which was read already"
        return first == path

    while folders or linked_folders:
        folder = folders.pop() if folders else linked_folders.pop(0)
        if not is_new(folder):
            continue
        try:
            entries = sorted(
                (e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda entry: natural_key(entry.name)
            )
        except OSError as error:
            left_out[folder] = f"cannot be read: {error.strerror}"
            continue
        for entry in entries:
            kinds = (linked_folders, linked_files) if entry.is_symlink() else (folders, real_files)
            kinds[0 if entry.is_dir() else 1].append(entry)
    kept = []
    for path in [*real_files, *linked_files]:
        if not path.exists():
            left_out[path] = "a broken link"
        elif path.suffix.lower() not in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES) or is_new(path):
            kept.append(path)
    return kept, left_out


def _paged(folders: Sequence[Sequence[_Path]], is_paged: Callable[[_Path], bool]) -> set[_Path]:
    """Returns the images of folders that have several pages. Of many images of a folder, some are looked into first.

    All folders are gone through in order, once or twice: an archive may have to be read from its beginning.
    """
    looked_into = functools.cache(is_paged)
    candidates = [[path for path in images if path.suffix.lower() in PAGED_SUFFIXES] for images in folders]
    steps = [max(1, len(images) // _LOOKED_INTO) for images in candidates]
    found = [any(map(looked_into, images[::step])) for images, step in zip(candidates, steps, strict=True)]
    return {path for path in itertools.chain.from_iterable(itertools.compress(candidates, found)) if looked_into(path)}


def _names(root: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """Returns printable names of paths in natural order; names that would be the same get a number."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in sorted(set(paths), key=lambda path: [natural_key(part) for part in path.relative_to(root).parts]):
        name = printable(path.relative_to(root).as_posix())
        numbered = itertools.chain([name], (f"{name}~{number}" for number in itertools.count(2)))
        names[path] = next(candidate for candidate in numbered if candidate not in taken)
        taken.add(names[path])
    return names
