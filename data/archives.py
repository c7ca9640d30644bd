"""Archives as folders of videos: zip files, also in parts, and tar files, read without unpacking them.

A video is taken out of its archive for as long as it is converted. Compressed tar files can only be read from their
beginning: each thread reads them forward, so videos are best taken out in their order.
"""

import contextlib
import dataclasses
import functools
import io
import lzma
import os
import re
import shutil
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, Protocol

from i2v_jax.errors import UserError
from i2v_jax.media import folders
from i2v_jax.media.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from i2v_jax.media.reading import is_paged

_COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_SUFFIXES = (".zip", ".zip.001", ".tar", *_COMPRESSED_TARS)
_LABEL_SUFFIXES = (".csv",)
_DAMAGES = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)
_HIDDEN = re.compile(r"\.(?!\.?$)|__MACOSX")  # but not the folder above, which tar files may be of
_END = struct.Struct("<4sHHHHIIH")  # the end of a zip file: its signature, the number of its part, ...
_END_SIGNATURE = b"PK\x05\x06"


def stem(path: Path) -> str:
    """Returns the name of an archive without its suffixes; empty if `path` is not an archive."""
    suffix = max((s for s in _SUFFIXES if path.name.lower().endswith(s)), key=len, default="")
    return path.name[: -len(suffix)] if suffix else ""


def whole(path: Path) -> Path | None:
    """Returns the file by which a zip file in parts is opened, if `path`, `NAME.z01` or `NAME.zip.002`, is a part."""
    suffix = path.suffix.lower()
    if suffix[:2] == ".z" and suffix[2:].isdecimal():
        return path.with_suffix(".zip")
    return path.with_suffix(".001") if path.stem.lower().endswith(".zip") and suffix[1:].isdecimal() else None


@dataclasses.dataclass(frozen=True)
class Member:
    """A video in an archive, see `raw.Inside`: one file, or the files of one folder of frames."""

    files: tuple[str, ...]

    def take_out(self, path: Path, folder: Path) -> Path:
        opened(path).copy(self.files, folder)
        first = folder / Path(self.files[0]).name
        return first if first.suffix.lower() in VIDEO_SUFFIXES or (len(self.files) == 1 and is_paged(first)) else folder


def videos_in(path: Path) -> tuple[dict[str, Member], list[str], dict[str, str]]:
    """Returns the videos of an archive by their names in it: those that `folders.sort_out` finds.

    Returns:
        The videos; names of files that are neither videos nor images; names of folders whose images are no frames, and
        why.

    Raises:
        UserError: the archive cannot be read; the message is the reason.
    """
    archive = opened(path)
    files = {PurePosixPath(name): name for name in archive.names()}
    shown = [file for file in files if not any(_HIDDEN.match(part) for part in file.parts)]
    videos, others, no_frames = folders.sort_out(shown, lambda file: _is_paged(archive, files[file]))
    inside: dict[PurePosixPath, list[str]] = {}  # of a folder of frames
    for file in shown:
        if file.suffix.lower() in (*IMAGE_SUFFIXES, *_LABEL_SUFFIXES):
            inside.setdefault(file.parent, []).append(files[file])
    members = {str(video): Member((files[video],) if video in files else tuple(inside[video])) for video in videos}
    return members, list(map(str, others)), {str(folder): reason for folder, reason in no_frames.items()}


def _is_paged(archive: "Archive", name: str) -> bool:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(UserError):  # whoever converts it tells
        archive.copy((name,), Path(folder))
        return is_paged(Path(folder) / Path(name).name)
    return False


class Archive(Protocol):
    """An open archive. Several threads may use it.

    Attributes:
        problem: why some of its files cannot be read; empty if all can.
    """

    problem: str

    def names(self) -> list[str]:
        """Returns the paths of its files."""

    def copy(self, names: Sequence[str], folder: Path) -> None:
        """Writes files into a folder, without the folders of their paths. Raises UserError if one is damaged."""


def opened(path: Path) -> Archive:
    """Returns an archive, which stays open. Raises UserError if it cannot be read; the message is the reason."""
    with _readable(path):
        return _opened(path, path.stat().st_mtime_ns, os.getpid())  # processes must not share positions in files


@functools.lru_cache(maxsize=16)
def _opened(path: Path, modified: int, process: int) -> Archive:
    del modified, process
    if path.name.lower().endswith(_COMPRESSED_TARS):
        return _CompressedTar(path)
    return _Tar(path) if path.suffix.lower() == ".tar" else _Zip(path)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGES, zipfile.BadZipFile, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file system: decompression raises it without a number
        raise UserError(
            f"the archive is damaged, truncated or encrypted ({error}): download it again", "raw_dir", str(path)
        ) from error
    except KeyError as error:
        raise UserError(f"{error} is not in the archive", "raw_dir", str(path)) from error


class _Zip:
    problem = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        parts = _parts(path)
        _check_number(parts)
        self._archive = zipfile.ZipFile(io.BufferedReader(_Joined(parts)))
        _place_members(self._archive, [part.stat().st_size for part in parts])

    def names(self) -> list[str]:
        return [info.filename for info in self._archive.infolist() if not info.is_dir()]

    def copy(self, names: Sequence[str], folder: Path) -> None:
        with _readable(self._path):
            for name in names:
                with self._archive.open(name) as source, (folder / Path(name).name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)


def _parts(path: Path) -> list[Path]:
    """Returns the files that a zip file consists of, in order."""
    others = sorted(part for part in path.parent.iterdir() if part != path and whole(part) == path)
    return [path, *others] if path.suffix == ".001" else [*others, path]


def _check_number(parts: Sequence[Path]) -> None:
    """Raises BadZipFile if the last part says that there are more."""
    with parts[-1].open("rb") as file:
        file.seek(-min(parts[-1].stat().st_size, 2**16 + _END.size), io.SEEK_END)
        tail = file.read()
    at = tail.rfind(_END_SIGNATURE)
    if at >= 0 and (number := _END.unpack_from(tail, at)[1] + 1) > len(parts):
        raise zipfile.BadZipFile(f"it has {number} parts, but there are {len(parts)}")


def _place_members(archive: zipfile.ZipFile, sizes: Sequence[int]) -> None:
    """Corrects where members begin: a zip file in parts (`zip -s`) counts from the beginning of each part."""
    members = archive.infolist()
    if len(sizes) == 1 or not any(info.volume for info in members):
        return
    begins = [sum(sizes[:part]) for part in range(len(sizes))]
    # `zipfile` took all offsets to be in the part of the directory.
    directory = max(begin for begin in begins if begin <= archive.start_dir)
    for info in members:
        info.header_offset += begins[info.volume] - directory
        if hasattr(info, "_end_offset"):
            info._end_offset = None


class _Joined(io.RawIOBase):
    """Files that are read as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files: list[BinaryIO] = [path.open("rb") for path in paths]
        sizes = [path.stat().st_size for path in paths]
        self._begins = [sum(sizes[:part]) for part in range(len(sizes) + 1)]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._begins[-1]}[whence]
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self._begins[-1]:
            return 0
        part = max(part for part, begin in enumerate(self._begins[:-1]) if begin <= self._position)
        self._files[part].seek(self._position - self._begins[part])
        count = self._files[
            part
        ].readinto(  # type: ignore[attr-defined]
            memoryview(buffer)[: self._begins[part + 1] - self._position]
        )
        self._position += count
        return count


def _members(path: Path, mode: Literal["r:", "r|*"]) -> tuple[list[tarfile.TarInfo], str]:
    """Returns the members of a tar file before the place where it is truncated, and that it is."""
    members: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(path, mode) as archive:
            for info in archive:
                if mode == "r:" and info.offset_data + info.size > path.stat().st_size:
                    raise EOFError
                members.append(info)
    except (*_DAMAGES, OSError) as error:
        if not members or getattr(error, "errno", None) is not None:
            raise
        return members, f"damaged or truncated after {len(members)} files: download it again"
    return members, ""


@dataclasses.dataclass(frozen=True)
class Extent:
    """Where a file is in another one, uncompressed: from `begin`, `size` bytes."""

    begin: int
    size: int


class _Tar:
    def __init__(self, path: Path) -> None:
        self._path = path
        members, self.problem = _members(path, "r:")
        self.extents = {_name(info): Extent(info.offset_data, info.size) for info in members if info.isreg()}

    def names(self) -> list[str]:
        return list(self.extents)

    def copy(self, names: Sequence[str], folder: Path) -> None:
        with _readable(self._path), self._path.open("rb") as file:
            for name in names:
                extent = self.extents[name]
                file.seek(extent.begin)
                (folder / Path(name).name).write_bytes(file.read(extent.size))


def _name(info: tarfile.TarInfo) -> str:
    return info.name.removeprefix("./")


class _CompressedTar:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        members, self.problem = _members(path, "r|*")
        self._order = {_name(info): number for number, info in enumerate(members) if info.isreg()}

    def names(self) -> list[str]:
        return list(self._order)

    def copy(self, names: Sequence[str], folder: Path) -> None:
        with _readable(self._path):
            try:
                self._copy({self._order[name] for name in names}, folder)
            except BaseException:
                self._local.__dict__.clear()  # its position is unknown
                raise

    def _copy(self, wanted: set[int], folder: Path) -> None:
        """Writes members by their numbers, reading on from the last one of this thread if they come later."""
        local = self._local
        if not hasattr(local, "archive") or local.next > min(wanted):
            local.archive, local.next = tarfile.open(self._path, "r|*"), 0  # noqa: SIM115, stays open
        while wanted:
            info = local.archive.next()
            if info is None:
                raise EOFError("it ends too early")
            if local.next in wanted:
                source = local.archive.extractfile(info)
                with (folder / Path(info.name).name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                wanted.remove(local.next)
            local.next += 1


def extents(path: Path) -> dict[str, Extent]:
    """Returns where the files of an uncompressed tar file are in it. Raises UserError if it cannot be read."""
    archive = opened(path)
    return archive.extents if isinstance(archive, _Tar) else {}
