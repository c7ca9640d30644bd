"""Lists: those of the authors, `data/NAME/*.txt`, and those of users.

The authors' come with the package; `data/NOTICE.md` says where from.
"""

import csv
from pathlib import Path

from i2v_jax.errors import UserError

_HERE = Path(__file__).parent


def published(data_set: str, name: str) -> list[str]:
    """Returns the lines of a list that comes with the package, such as `published("iper", "train")`."""
    return read(_HERE / data_set / f"{name}.txt")


def read(path: Path) -> list[str]:
    """Returns the lines of a list, without those that are empty and without slashes at their ends.

    Raises:
        UserError: it is not text.
    """
    lines = (line.strip().rstrip("/") for line in text(path).splitlines())
    return [line for line in lines if line]


def rows(path: Path) -> list[list[str]]:
    """Returns the cells of a CSV file, without empty lines. Raises UserError if it is not text."""
    try:
        return [row for row in csv.reader(text(path).splitlines()) if row]
    except csv.Error as error:
        raise UserError(f"{path}: {error}", path.name, str(path)) from error


def text(path: Path) -> str:
    """Returns the text of a file. Raises UserError if it is not text in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 ({error.reason}): save it as such", path.name, str(path)
        ) from error
