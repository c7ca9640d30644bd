"""Writes the shards of a data set, in parallel. A shard that is complete is not written again.

A shard is planned from the raw files alone. Until the data set is complete, its name is a digest of its raw videos and
of the options; beside it is a JSON file about its videos, which is written last.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Self

from array_record.python import array_record_module

from i2v_jax import files, logs
from i2v_jax.data import opening, raw, staging
from i2v_jax.errors import UserError
from i2v_jax.input import workers

_LEAST, _MOST = 2**24, 2**28  # bytes of a shard, as far as they can be estimated
_AT_LEAST_SHARDS = 64  # of a data set whose shards have `_LEAST` bytes or more
_EXPANSION = 16  # bytes of stored frames per byte of a video file, about
_WRITER = "group_size:1,uncompressed"  # pictures do not get smaller

ReadLabels = Callable[[raw.RawVideo], dict[str, Any]]


def about(path: Path) -> Path:
    """Returns the file about the videos of a shard."""
    return path.with_name(f"{path.name}.json")


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard that is to be written; it can be pickled."""

    split: str
    videos: tuple[raw.RawVideo, ...]
    path: Path
    options: staging.StoreOptions
    read_labels: ReadLabels
    known: Mapping[str, "Known"] = dataclasses.field(default_factory=dict, repr=False)  # by name

    @property
    def about(self) -> Path:
        """The file about its videos, which exists if and only if the shard is complete."""
        return about(self.path)


@dataclasses.dataclass(frozen=True)
class Written:
    """What is in a shard."""

    videos: list[staging.StoredVideo]
    skipped: list[raw.Skipped]
    intact: dict[str, list[list[int]]]  # name of a skipped, damaged video -> its intact ranges of frames

    @property
    def records(self) -> int:
        """The number of records."""
        return sum(video.records for video in self.videos)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads the file about a shard."""
        content = json.loads(path.read_text())
        return cls(
            [staging.StoredVideo(**{**video, "size": tuple(video["size"])}) for video in content["videos"]],
            [raw.Skipped(**item) for item in content["skipped"]],
            content["intact"],
        )


def stored_videos(folder: Path) -> dict[str, list[staging.StoredVideo]]:
    """Returns the videos of each split of a data set in order."""
    found: dict[str, list[staging.StoredVideo]] = {}
    for file in sorted(folder.glob("*.array_record-*.json")):
        split = file.name.partition(".array_record-")[0].rpartition("-")[2]
        found.setdefault(split, []).extend(Written.load(file).videos)
    return found


@dataclasses.dataclass(frozen=True)
class Known:
    """A video whose records are in a shard already."""

    path: Path
    first: int  # its first record there
    stored: staging.StoredVideo

    def copy(self, spool: staging.Spool) -> staging.StoredVideo:
        """Writes its records to `spool`."""
        reader = array_record_module.ArrayRecordReader(str(self.path), "readahead_buffer_size:0,max_parallelism:0")
        for number in range(self.first, self.first + self.stored.records):
            spool.write(reader.read([number])[0])
        return self.stored


def plan(
    splits: Mapping[str, Sequence[raw.RawVideo]],
    found: Sequence[raw.RawVideo],
    options: staging.StoreOptions,
    read_labels: ReadLabels,
    folder: Path,
    earlier: Path | None = None,
) -> list[Shard]:
    """Divides the videos of each split into shards.

    Videos that are near each other in `found` share a shard, whatever else is in their split.

    Args:
        splits: the videos of each split.
        found: all videos.
        options, read_labels: how to convert them.
        folder: where the shards are written. Videos that are in a shard there already are copied.
        earlier: a data set whose videos are copied, too.
    """
    portions, there = _portions(found), _known(folder)
    if earlier is not None:
        there = _known(earlier) | there
    keys = {video.name: staging.key(video, options) for video in found}
    shards = []
    for split, videos in splits.items():
        for _, group in itertools.groupby(videos, lambda video: portions[video.name]):
            chosen = tuple(group)
            digest = hashlib.sha256(repr((split, [keys[video.name] for video in chosen])).encode()).hexdigest()[:24]
            known = {video.name: there[keys[video.name]] for video in chosen if keys[video.name] in there}
            shards.append(Shard(split, chosen, folder / f"{digest}.array_record", options, read_labels, known))
    return shards


def _known(folder: Path) -> dict[str, Known]:
    """Returns the videos of all complete shards in a folder, by their keys."""
    found = {}
    for file in sorted(folder.glob("*.array_record*.json")):
        first, path = 0, file.with_suffix("")
        for video in Written.load(file).videos if path.is_file() else ():
            found[video.key] = Known(path, first, video)
            first += video.records
    return found


def _portions(found: Sequence[raw.RawVideo]) -> dict[str, int]:
    """Returns for each video which portion of about equal size it is in. Chunks of one recording share theirs."""
    shared = collections.Counter(video.path for video in found)
    sizes = [_size(video.path) / shared[video.path] for video in found]
    target = min(max(sum(sizes) / _AT_LEAST_SHARDS, _LEAST), _MOST)
    of_recording: dict[Any, int] = {}
    portions = {}
    for video, size, end in zip(found, sizes, itertools.accumulate(sizes), strict=True):
        portions[video.name] = of_recording.setdefault(video.recording or video.name, int((end - size) // target))
    return portions


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
    return _EXPANSION * path.stat().st_size


def write_all(shards: Sequence[Shard], count: int) -> None:
    """Writes all shards that are not complete, with `count` processes; 1 is this process.

    Raises:
        UserError: a process died.
        OSError: the disk is full.
    """
    missing = [shard for shard in shards if not shard.about.is_file()]
    total, done = sum(len(s.videos) for s in shards), sum(len(s.videos) for s in shards if s not in missing)
    with logs.progress(total=total, initial=done, unit="video", desc="preparing", disable=not missing) as bar:
        if count == 1 or len(missing) < 2:
            for shard in missing:
                _write(shard, bar.update)
            return
        _write_in_parallel(missing, min(count, len(missing)), bar)


def _write_in_parallel(shards: Sequence[Shard], count: int, bar: logs.Lines) -> None:
    context = multiprocessing.get_context("spawn")
    progress = context.Value("q", 0)
    with concurrent.futures.ProcessPoolExecutor(count, context, _set_up, (progress,)) as pool:
        pending = {pool.submit(_write_here, shard) for shard in shards}
        try:
            while pending:
                done, pending = concurrent.futures.wait(pending, 0.2, concurrent.futures.FIRST_EXCEPTION)
                for future in done:
                    future.result()
                bar.update(progress.value - (bar.n - bar.initial))
        except BrokenProcessPool as error:
            raise UserError(
                "a process that prepares videos died: if memory ran out, lower --workers; the same command continues",
                "workers",
                count,
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_shared: dict[str, Any] = {}  # in a process of the pool


def _set_up(progress: Any) -> None:
    """Sets up a process; `progress` counts the videos that all of them have finished."""
    _shared["progress"] = progress
    threading.Thread(target=workers.end_with_parent, daemon=True).start()


def _write_here(shard: Shard) -> None:
    def count() -> None:
        progress = _shared["progress"]
        with progress.get_lock():
            progress.value += 1

    _write(shard, count)


def _write(shard: Shard, finished: Callable[[], object]) -> None:
    """Writes a shard, then the file about it. Calls `finished` after each video."""
    stored, skipped, intact = [], [], {}
    new = opening.opened((video for video in shard.videos if video.name not in shard.known), shard.path.parent)
    with files.replacing(shard.path) as temporary, contextlib.closing(new):
        writer = array_record_module.ArrayRecordWriter(str(temporary), _WRITER)
        for video in shard.videos:
            with staging.Spool(shard.path.parent) as spool:
                try:
                    known = shard.known.get(video.name)
                    stored.append(known.copy(spool) if known else _convert(video, next(new), shard, spool))
                    for record in spool:
                        writer.write(record)
                except UserError as error:
                    skipped.append(raw.Skipped(video.name, str(error).removeprefix(f"{video.path}: ")))
                    if isinstance(error, staging.PartlyDamaged):
                        intact[video.name] = error.intact
            finished()
        writer.close()
    lists = {"videos": list(map(dataclasses.asdict, stored)), "skipped": list(map(dataclasses.asdict, skipped))}
    files.write_text(shard.about, json.dumps(lists | {"intact": intact}))


def _convert(
    video: raw.RawVideo, opened: raw.RawVideo | UserError, shard: Shard, spool: staging.Spool
) -> staging.StoredVideo:
    if isinstance(opened, UserError):
        raise opened
    with opening.reading():
        return staging.convert(video, opened, shard.options, shard.read_labels, spool)
