"""What a data set was prepared from, for not preparing it again, refusing something else, and adding videos to it."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from i2v_jax import files
from i2v_jax.data import raw
from i2v_jax.data.staging import StoreOptions
from i2v_jax.errors import UserError
from i2v_jax.input.records import Storage

_FILE = "preparation.json"
_SHOWN = 3  # names in a message

Splits = dict[str, list[raw.RawVideo]]


@dataclasses.dataclass(frozen=True)
class Preparation:
    """The raw files and the options of a data set.

    Attributes:
        options: by the names of the flags of `launch.prepare`.
        files: a digest of the names, sizes and times of all raw files.
        videos: a digest of the raw files of each video, also of those that could not be used, by its name.
    """

    options: Mapping[str, Any]
    files: str
    videos: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what the data set in `folder` was prepared from. Raises UserError if that is not known."""
        try:
            return cls(**json.loads((folder / _FILE).read_text()))
        except (FileNotFoundError, ValueError, TypeError) as error:
            raise UserError(
                f"{folder} has no {_FILE} that can be read, so it is not known what it was prepared from: delete the "
                "folder to prepare the data again, or give another --data_dir",
                "data_dir",
                str(folder),
            ) from error

    def save(self, folder: Path) -> None:
        """Writes it into the folder of the data set."""
        files.write_text(folder / _FILE, json.dumps(dataclasses.asdict(self)))

    def of(self, found: Sequence[raw.RawVideo]) -> Self:
        """Returns it with the videos that were found."""
        return dataclasses.replace(self, videos={video.name: _digest(video.identity()) for video in found})

    def require_options(self, asked: "Preparation", folder: Path) -> None:
        """Raises UserError if the data set in `folder` was prepared with other options than are asked for now."""
        before = {**dataclasses.asdict(StoreOptions()), **self.options}  # an earlier version had fewer
        names = [name for name, value in asked.options.items() if before.get(name) != value]
        if names:
            differences = ", ".join(f"--{name} was {before.get(name)}, now {asked.options[name]}" for name in names)
            raise UserError(
                f"{folder} was prepared with other options ({differences}): give the same ones, or another --data_dir",
                names[0],
                asked.options[names[0]],
            )

    def require_videos(self, asked: "Preparation", folder: Path, update: bool) -> bool:
        """Returns whether there are new or changed videos.

        Raises:
            UserError: there are, and they are not to be added; or videos that were prepared are gone.
        """
        changed = [name for name in asked.videos.keys() & self.videos.keys() if asked.videos[name] != self.videos[name]]
        kinds = {
            "new": sorted(asked.videos.keys() - self.videos.keys()),
            "changed": sorted(changed),
            "gone": sorted(self.videos.keys() - asked.videos.keys()),
        }
        differences = "; ".join(_named(kind, names) for kind, names in kinds.items() if names)
        if kinds["gone"]:
            raise UserError(
                f"{folder} was prepared from other files ({differences}): put back what is gone, or give another "
                "--data_dir",
                "raw_dir",
                kinds["gone"][0],
            )
        if differences and not update:
            raise UserError(
                f"{folder} was prepared from other files ({differences}): --update adds them, another --data_dir keeps "
                "both",
                "raw_dir",
                (kinds["new"] or kinds["changed"])[0],
            )
        return bool(differences)


def require_storage(options: StoreOptions, folder: Path, preset: str) -> None:
    """Raises UserError if the data set in `folder` is stored otherwise, because an earlier version chose it."""
    metadata = json.loads((folder / "metadata.json").read_text())
    there, asked = dataclasses.asdict(Storage.of(metadata)), dataclasses.asdict(options)
    for name in asked.keys() & there.keys():
        if asked[name] != there[name]:
            raise UserError(
                f"{folder} was prepared by an earlier version, whose --preset={preset} meant {name}={there[name]}, now "
                f"{asked[name]}: delete the folder to prepare the data again, or give another --data_dir",
                name,
                asked[name],
            )


def _named(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} others" if len(names) > _SHOWN else ""
    return f"{len(names):,} {kind}: {', '.join(names[:_SHOWN])}{more}"


def files_digest(raw_dir: Path) -> str:
    """Returns a digest of the names, sizes and times of all files below a folder."""
    found, visited = [], set()
    for folder, names, file_names in os.walk(raw_dir, followlinks=True):
        names.sort()
        real = os.path.realpath(folder)
        if real in visited:  # links may lead around
            names.clear()
            continue
        visited.add(real)
        for name in sorted(file_names):
            path = os.path.join(folder, name)
            status = os.stat(path) if os.path.exists(path) else os.lstat(path)
            found.append((os.path.relpath(path, raw_dir), status.st_size, status.st_mtime_ns))
    return _digest(repr(found))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def keep_splits(
    videos: Sequence[raw.RawVideo],
    previous: Mapping[str, Collection[str]],
    divide: Callable[[Sequence[raw.RawVideo]], Splits],
) -> Splits:
    """Divides videos some of which are divided already, which stay in their splits.

    A new video is where the authors have it. If splits were held out of the authors' training videos, it goes to the
    split of its group, and new groups are divided.

    Args:
        videos: all of them.
        previous: the names in each split.
        divide: divides new videos.
    """
    where = {video.name: [split for split, names in previous.items() if video.name in names] for video in videos}
    of_group = {_group(v): where[v.name] for v in videos if v.split == "train" and where[v.name]}
    held_out = any(splits != ["train"] for splits in of_group.values())
    one = ["eval", "test"] if set(previous.get("eval", ())) == set(previous.get("test", ())) else []
    kept: dict[str, list[str]] = {}
    new = []
    for video in videos:
        if where[video.name]:
            kept[video.name] = where[video.name]
        elif video.split == "train" and _group(video) in of_group:
            kept[video.name] = of_group[_group(video)]
        elif video.split == "train" and held_out:
            new.append(video)
        else:
            kept[video.name] = one if video.split in one else [video.split]
    for split, chosen in (divide(new) if new else {}).items():
        for video in chosen:
            kept.setdefault(video.name, []).append(split)
    return {
        split: chosen
        for split in ("train", "eval", "test")
        if (chosen := [video for video in videos if split in kept.get(video.name, ())])
    }


def _group(video: raw.RawVideo) -> str:
    return video.group or video.name
