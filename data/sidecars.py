"""Files beside a prepared data set, one for each video: optical flow and masks.

A file has its final name only when it is complete, so an interrupted run continues with the next video. The folder says
which options its files were made with, and holds no others.
"""

import concurrent.futures
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from i2v_jax import files, logs
from i2v_jax.data import raw, shards, staging
from i2v_jax.errors import UserError
from i2v_jax.input.sources import RecordSource

_OPTIONS = "options.json"
_SUFFIXES = (".npy", ".still")  # of the file of a video, and of the reason why it will never have one
_LATER_OPTIONS = {"flow_input_size": 0}  # that folders of earlier versions do not name
Write = Callable[[int, Path], None]  # (video, path of the file)


class UnusableError(UserError):
    """A video will never have a file. This is stored, because it will not change."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of storing the files of a split."""

    what: str  # is in them
    folder: Path
    stored: int
    skipped: list[raw.Skipped]

    def __str__(self) -> str:
        videos = f"{self.stored} video{'s' * (self.stored != 1)}"
        lines = [f"{self.folder}: {self.what} of {videos}, {len(self.skipped)} skipped"]
        lines += [f"  skipped {item.path}: {item.reason}" for item in self.skipped[:10]]
        if len(self.skipped) > 10:
            lines.append(f"  and {len(self.skipped) - 10} more, each in {self.folder / 'skipped.json'}")
        return "\n".join(lines)


def store(
    source: RecordSource, folder: Path, write: Write, options: Mapping[str, object], *, threads: int, what: str
) -> Summary:
    """Stores a file for every video that an earlier run did not store.

    Args:
        source: the split.
        folder: of the files; `NNNNNN.npy` is of video N.
        write: writes the file of a video. It raises UserError if the video cannot be used.
        options: that the files depend on, under their names on the command line.
        threads: how many videos to read at the same time.
        what: is in the files, for the progress bar and the summary.

    Raises:
        UserError: there are files with other options, or the disk is full.
    """
    with staging.writing_to(source.folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.tmp"):  # by a run that was killed
            left.unlink()
        _claim(folder, what, options)
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            outcomes = pool.map(lambda video: _attempt(video, folder / f"{video:06d}.npy", write), range(len(source)))
            try:
                words = f"{what}, {source.split}"
                reasons = list(logs.progress(outcomes, total=len(source), unit="video", desc=words))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        skipped = [raw.Skipped(source.name(video), reason) for video, reason in enumerate(reasons) if reason]
        files.write_text(folder / "skipped.json", json.dumps([dataclasses.asdict(item) for item in skipped], indent=2))
    return Summary(what, folder, len(source) - len(skipped), skipped)


@dataclasses.dataclass(frozen=True)
class Stored:
    """What is stored beside the videos of a split."""

    what: str  # the folder below that of the data set: "flow/distance_0010" or "masks"
    split: str
    options: Mapping[str, Any]  # that it was made with, under their names on the command line
    videos: int
    unusable: int  # videos that will never have a file


def stored(prepared: Path) -> list[Stored]:
    """Returns what is stored beside a data set, split by split."""
    folders = (*sorted(prepared.glob("flow/distance_*/*")), *sorted(prepared.glob("masks/*")))
    return [
        Stored(
            folder.parent.relative_to(prepared).as_posix(),
            folder.name,
            json.loads((folder / _OPTIONS).read_text()),
            *(len(list(folder.glob(f"*{suffix}"))) for suffix in _SUFFIXES),
        )
        for folder in folders
        if (folder / _OPTIONS).is_file()
    ]


def carry_over(earlier: Path, later: Path) -> None:
    """Gives videos of the data set `later` the files that `earlier` has of them, as far as their records are the same.

    The files are linked: nothing changes in `earlier`.
    """
    of_records = {
        video.sha256: (split, number)
        for split, videos in shards.stored_videos(earlier).items()
        for number, video in enumerate(videos)
    }
    there = shards.stored_videos(later)
    for folder in (*sorted(earlier.glob("flow/distance_*")), *earlier.glob("masks")):
        for split, videos in there.items():
            target = later / folder.relative_to(earlier) / split
            for number, video in enumerate(videos):
                source_split, source = of_records.get(video.sha256, ("", -1))
                for suffix in _SUFFIXES:
                    if (file := folder / source_split / f"{source:06d}{suffix}").is_file():
                        _carry(file, target / f"{number:06d}{suffix}")


def _carry(file: Path, target: Path) -> None:
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
        shutil.copyfile(file.parent / _OPTIONS, target.parent / _OPTIONS)
    try:
        os.link(file, target)
    except OSError:  # a file system without links
        shutil.copyfile(file, target)


def _claim(folder: Path, what: str, wanted: Mapping[str, object]) -> None:
    """Writes the options of the files to their folder. Raises UserError if it has files with other options."""
    path = folder / _OPTIONS
    there = _LATER_OPTIONS | json.loads(path.read_text()) if path.is_file() else wanted
    for name, value in wanted.items():
        if there[name] != value:
            raise UserError(
                f"{folder} has {what} with {name}={there[name]}, not {value}: delete it to store {what} again",
                name,
                value,
            )
    files.write_text(path, json.dumps(wanted))


def _attempt(video: int, path: Path, write: Write) -> str:
    """Stores the file of a video. Returns the reason if it is skipped, otherwise an empty string."""
    if path.is_file():
        return ""
    unusable = path.with_suffix(_SUFFIXES[1])
    if unusable.is_file():
        return unusable.read_text()
    try:
        with files.replacing(path) as temporary:
            write(video, temporary)
    except UnusableError as error:
        unusable.write_text(str(error))
        return str(error)
    except UserError as error:
        return str(error)
    return ""
