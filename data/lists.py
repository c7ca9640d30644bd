"""The authors' lists of clips, `data/NAME/*.txt`, which come with the package; `data/NOTICE.md` says where from."""

from pathlib import Path

_HERE = Path(__file__).parent


def published(data_set: str, name: str) -> list[str]:
    """Returns the lines of a list that comes with the package, such as `published("iper", "train")`."""
    return read(_HERE / data_set / f"{name}.txt")


def read(path: Path) -> list[str]:
    """Returns the lines of a list, without those that are empty and without slashes at their ends."""
    lines = (line.strip().rstrip("/") for line in path.read_text().splitlines())
    return [line for line in lines if line]
