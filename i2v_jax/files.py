"""Files and folders, local or in a bucket, that appear complete or not at all; the folder of the cache.

`location` makes a path of what a user gives. A path in a bucket (gs://BUCKET/...) has the methods of a local one; it is
an `etils.epath.Path`, which reads and writes through gcsfs, the extra "gcs". Pass paths on as they are:
`pathlib.Path` takes gs://BUCKET for a folder `gs:`.
"""

import contextlib
import errno
import importlib.util
import io
import logging
import os
import pathlib
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import IO, Any, cast

from i2v_jax.errors import UserError

PathLike = str | os.PathLike[str]
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)  # of an OSError
_BUCKET = "gs://"
_SECONDS_BETWEEN_UPLOADS = 30


def location(path: PathLike) -> pathlib.Path:
    """Returns the path of a local file or folder, or of one in a bucket.

    Raises:
      UserError: `path` is at another URL, or in a bucket and gcsfs is not installed.
    """
    if not is_in_bucket(path):
        require_local(path, or_bucket=True)
        return pathlib.Path(path)
    _require_gcsfs(path)
    from etils import epath

    return cast(pathlib.Path, epath.Path(path))  # it has the methods, but is not a subclass


def is_in_bucket(path: PathLike) -> bool:
    """Returns whether a path is in a bucket that `location` takes."""
    return os.fspath(path).startswith(_BUCKET)


def require_bucket(path: PathLike, name: str = "") -> None:
    """Raises UserError if a path in a bucket cannot be reached. Call before anything starts.

    Args:
      path: in a bucket.
      name: the flag that it was given to.
    """
    folder = location(path)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs the errors that it raises
    try:
        folder.exists()
        next(iter(location(_BUCKET + folder.parts[2]).iterdir()), None)
    except Exception as error:  # every layer below has its own exceptions
        raise UserError(
            f"{name}{'=' if name else ''}{path}: the bucket cannot be read ({_first_line(error)}): check its name, and "
            "log in with gcloud auth application-default login",
            name.lstrip("-"),
            str(path),
        ) from error


def write_bytes(path: PathLike, content: bytes) -> None:
    """Writes a file, and its folder if needed. Raises UserError if the file cannot be written."""
    with writing(path), replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: PathLike, text: str) -> None:
    """Writes a UTF-8 file, and its folder if needed. Raises UserError if the file cannot be written."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[pathlib.Path]:
    """Yields the path of a temporary file that replaces `path` at the end of the context.

    If the context fails, `path` stays as it was and the temporary file is removed. In a bucket, the temporary file is a
    local one, and one request writes the whole object.

    Raises:
      OSError: the folder of `path` cannot be made, or the file cannot be replaced. `writing` makes a UserError of it.
    """
    path = location(path)
    if is_in_bucket(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = pathlib.Path(folder, path.name)
            yield temporary
            _upload(temporary, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")  # unique: other processes may write `path`
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _upload(file: pathlib.Path, path: pathlib.Path) -> None:
    try:
        path.write_bytes(file.read_bytes())
    except Exception as error:  # gcsfs has its own exceptions, and passes on those of aiohttp and google-auth
        raise OSError(_first_line(error)) from error


def require_writable(folder: PathLike) -> None:
    """Raises UserError if nothing can be written to a folder, which may be missing. Call it before computing."""
    folder = location(folder)
    if is_in_bucket(folder):  # which `require_bucket` has looked at
        return
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    with contextlib.suppress(OSError):  # somebody else writes there by now
        for each in missing:
            each.rmdir()


@contextlib.contextmanager
def writing(path: PathLike) -> Iterator[None]:
    """Turns an OSError of its context into a UserError of one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}", value=str(path)) from error


def remedy(error: Exception) -> str:
    """Returns what to do about a file that could not be written, which depends on whether the disk is full."""
    return "free some space" if is_disk_full(error) else "make the folder writable"


def is_disk_full(error: Exception) -> bool:
    """Returns whether an error is about a full disk: libraries make others than OSError of it."""
    text = f"{error} {getattr(error, 'strerror', '')}"
    return any(os.strerror(number) in text for number in DISK_FULL)


@contextlib.contextmanager
def new_folder(path: PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary folder that becomes `path` at the end of the context, and is removed if the context fails.

    Raises:
      UserError: `path` is a file or a folder that is not empty, it cannot be written, or it is not local.
    """
    require_local(path)
    path = pathlib.Path(path).absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} exists and is not an empty folder: give another one", value=str(path))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
            folder = pathlib.Path(temporary, "complete")
            folder.mkdir()
            yield folder
            os.rename(folder, path)


class GrowingText:
    """A text file that lines are added to.

    An object in a bucket cannot grow: it is written again, whole, every `_SECONDS_BETWEEN_UPLOADS`, and by `flush`.
    """

    def __init__(self, path: PathLike, content: str) -> None:
        """Replaces what the file held. Raises UserError if it cannot be written."""
        self._path, self._uploaded = location(path), time.monotonic()
        write_text(self._path, content)
        self._file: IO[str] = io.StringIO(content) if is_in_bucket(path) else self._path.open("a")
        self._file.seek(0, os.SEEK_END)

    def write(self, line: str) -> None:
        """Adds a line. Raises OSError if it cannot be written."""
        self._file.write(line + "\n")
        if not isinstance(self._file, io.StringIO):
            self._file.flush()
        elif time.monotonic() - self._uploaded > _SECONDS_BETWEEN_UPLOADS:
            self.flush()

    def flush(self) -> None:
        """Writes to the bucket what was not written yet. Raises OSError if it cannot be written."""
        if isinstance(self._file, io.StringIO):
            self._uploaded = time.monotonic()
            with replacing(self._path) as temporary:
                temporary.write_text(self._file.getvalue())

    def close(self) -> None:
        """Writes what was not written yet, and closes the file. Raises OSError if it cannot be written."""
        self.flush()
        self._file.close()


def remove_folder(path: pathlib.Path) -> None:
    """Removes a folder and all that is in it, as far as possible."""
    if is_in_bucket(path):
        with contextlib.suppress(Exception):  # every layer below has its own exceptions
            cast(Any, path).rmtree()
    else:
        shutil.rmtree(path, ignore_errors=True)


def require_local(path: PathLike, name: str = "", *, or_bucket: bool = False) -> None:
    """Raises UserError if `path` is in a bucket or at another URL: `pathlib` takes gs://BUCKET for a folder `gs:`.

    Args:
      path: what was given as a path.
      name: the flag or environment variable that it is the value of.
      or_bucket: whether it may be in a bucket that `location` takes, for the message.
    """
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", os.fspath(path)):
        given = f"{name}={path}" if name else path
        allowed = f"local paths and {_BUCKET}BUCKET/..." if or_bucket else "local files and folders"
        raise UserError(f"{given}: only {allowed} can be given here", name.lstrip("-"), str(path))


def cache_dir() -> pathlib.Path:
    """Returns the folder for what can be made again, compiled programs and pretrained weights: `I2V_JAX_CACHE`.

    Raises:
      UserError: `I2V_JAX_CACHE` is not a local path.
    """
    folder = os.environ.get("I2V_JAX_CACHE", pathlib.Path.home() / ".cache" / "i2v_jax")
    require_local(folder, "I2V_JAX_CACHE")
    return pathlib.Path(folder)


def _require_gcsfs(path: PathLike) -> None:
    if importlib.util.find_spec("gcsfs") is None:
        raise UserError(f"{path}: paths in a bucket need gcsfs: pip install gcsfs", "gcsfs", str(path))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
