"""Folders that are written whole or not at all."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from i2v_jax.errors import UserError


@contextlib.contextmanager
def new_folder(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder beside `target` that becomes it at the end of the context, and is removed when that fails.

    Raises:
      UserError: `target` is there and not an empty folder, or cannot be written.
    """
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists and is not an empty folder: give another one")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            folder = pathlib.Path(temporary, "whole")
            folder.mkdir()
            yield folder
            os.rename(folder, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
