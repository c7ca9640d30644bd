"""Writes files and folders so that they appear complete or not at all; the folder of the cache."""

import contextlib
import os
import pathlib
import re
import tempfile
import uuid
from collections.abc import Iterator

from i2v_jax.errors import UserError

PathLike = str | os.PathLike[str]


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

    If the context fails, `path` stays as it was and the temporary file is removed.

    Raises:
      OSError: the folder of `path` cannot be made, or the file cannot be replaced. `writing` makes a UserError of it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")  # unique: other processes may write `path`
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: PathLike) -> Iterator[None]:
    """Turns an OSError of its context into a UserError of one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}", value=str(path)) from error


@contextlib.contextmanager
def new_folder(path: PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary folder that becomes `path` at the end of the context, and is removed if the context fails.

    Raises:
      UserError: `path` is a file or a folder that is not empty, or it cannot be written.
    """
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


def require_local(path: PathLike, name: str = "") -> None:
    """Raises UserError if `path` is in a bucket or at another URL: `pathlib` takes gs://BUCKET for a folder `gs:`.

    Args:
      path: what was given as a path.
      name: the flag or environment variable that it is the value of.
    """
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", os.fspath(path)):
        given = f"{name}={path}" if name else path
        raise UserError(f"{given}: only local files and folders can be given here", name.lstrip("-"), str(path))


def cache_dir() -> pathlib.Path:
    """Returns the folder for what can be made again, compiled programs and pretrained weights: `I2V_JAX_CACHE`.

    Raises:
      UserError: `I2V_JAX_CACHE` is not a local path.
    """
    folder = os.environ.get("I2V_JAX_CACHE", pathlib.Path.home() / ".cache" / "i2v_jax")
    require_local(folder, "I2V_JAX_CACHE")
    return pathlib.Path(folder)
