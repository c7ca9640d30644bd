"""Finding videos in a user's folders, and dividing them into splits."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input.sources import SPLITS
from i2v_jax.input.videos import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural_key

WHOLE = (0.0, 1.0)
_SPLIT_FOLDERS = {
    "train": "train",
    "eval": "eval",
    "val": "eval",
    "valid": "eval",
    "validation": "eval",
    "test": "test",
}
_SIDE_FILES = (".txt", ".csv", ".json", ".md", ".xml", ".yaml", ".pkl")


@dataclasses.dataclass(frozen=True)
class RawVideo:
    """A video before preparation, or a part of one."""

    name: str  # unique, the path below the raw folder; of a part with something behind it
    path: Path  # a video file, or a folder whose images are the frames
    split: str = "train"  # as the data set's authors say; `divide` may hold out some of "train"
    group: str = ""  # videos of one group never end up in different splits; empty: the video alone
    object: str = ""  # what it shows, when several videos show the same; empty: the video alone
    part: tuple[float, float] = WHOLE  # from where to where of the frames, shares of the whole

    def frames(self, total: int) -> range:
        """The frames of the part, of `total`."""
        return range(*(round(share * total) for share in self.part))

    @property
    def root(self) -> Path:
        """The folder that `name` starts from."""
        return self.path.parents[len(Path(self.name).parts) - 1]


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Something that was left out, and why."""

    path: str
    reason: str


def find_videos(root: Path) -> tuple[list[RawVideo], list[Skipped]]:
    """All video files and all folders with images below `root`, in natural order of their names.

    Below top folders named train, eval (val, valid, validation) or test the split is theirs.

    Raises:
        UserError: `root` is no folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder (--raw_dir)")
    found, skipped = [], []
    for path in _walk(root):
        name = path.relative_to(root).as_posix()
        if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES:
            found.append(RawVideo(name, path, _SPLIT_FOLDERS.get(name.split("/")[0].lower(), "train")))
        elif path.suffix.lower() not in _SIDE_FILES:
            skipped.append(Skipped(name, f"not a video or an image ({path.suffix or 'no suffix'})"))
    return found, skipped


def _walk(folder: Path) -> Iterator[Path]:
    """Folders that hold images, and all files that are not images; nothing hidden."""
    entries = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: natural_key(p.name))
    if any(p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() for p in entries):
        yield folder
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.suffix.lower() not in IMAGE_SUFFIXES:
            yield entry


def divide(
    videos: Iterable[RawVideo], eval_fraction: float, test_fraction: float, seed: int
) -> dict[str, list[RawVideo]]:
    """Divides videos into splits: given ones are kept, a missing eval or test split is held out of train.

    Whole groups are held out, at least one while two or more remain. The choice depends on the names and the seed only.
    """
    splits: dict[str, list[RawVideo]] = {split: [] for split in SPLITS}
    for video in videos:
        splits[video.split].append(video)
    rng = np.random.default_rng(seed)
    groups = sorted({video.group or video.name for video in splits["train"]}, key=natural_key)
    order = [groups[i] for i in rng.permutation(len(groups))]
    total = len(order)
    for split, fraction in (("eval", eval_fraction), ("test", test_fraction)):
        if splits[split] or fraction <= 0:
            continue
        count = min(max(1, round(fraction * total)), len(order) - 1)
        held_out, order = set(order[:count]), order[count:]
        splits[split] = [v for v in splits["train"] if (v.group or v.name) in held_out]
        splits["train"] = [v for v in splits["train"] if (v.group or v.name) not in held_out]
    return {split: chosen for split, chosen in splits.items() if chosen}
