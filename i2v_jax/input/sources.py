"""Random access to the videos of a data set, decoding only the requested frames."""

import functools
import hashlib
import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.input.labels import Label, get_label
from i2v_jax.input.records import Index, Records, Storage, index_name, shard_name
from i2v_jax.media import paths
from i2v_jax.media.frames import decode
from i2v_jax.media.packets import Table

SPLITS = ("train", "eval", "test")


class VideoSource(Protocol):
    """One split of a data set. Implementations can be pickled and read from several threads."""

    @property
    def split(self) -> str:
        """One of `SPLITS`."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels (`input/labels.py`) that every clip has."""

    @property
    def stored(self) -> str:
        """What makes its frames differ from the original ones, in words, for the protocol of a metric."""

    @property
    def content_sha256(self) -> str:
        """A digest of all frames as they are stored; empty if they are drawn."""

    def __len__(self) -> int:
        """Returns the number of videos."""

    def num_frames(self, video: int) -> int:
        """Returns the number of frames of a video without reading it."""

    def name(self, video: int) -> str:
        """Returns the name that the user gave to a video."""

    def object_name(self, video: int) -> str:
        """Returns the object that a video shows; several videos may show the same object."""

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        """Returns frames, uint8 [T, h, w, 3].

        They may be smaller than stored, but both sides are at least `min_size` pixels; 0: as stored.
        """

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        """Returns the labels of the clip that consists of these frames, one for each of `label_names`."""


def find_prepared(data_dir: str, name: str) -> Path:
    """Returns the folder of the TFDS data set `name` (newest version) in `data_dir`, or `data_dir` if it is one.

    Raises:
        UserError: no data set of that name was prepared there, or `data_dir` is not a local path.
    """
    if not data_dir:
        raise UserError(
            f"data.dir is not set: prepare {name!r} with {command('prepare')}, then set --config.data.dir=DIR",
            "data.dir",
            data_dir,
        )
    root = files.location(data_dir).expanduser()
    if (root / "dataset_info.json").is_file():
        return root
    for folder in (root / name, root / name.replace("_", "/", 1)):
        versions = sorted(folder.glob("*/dataset_info.json"), key=paths.natural_key)
        if versions:
            return versions[-1].parent
    raise UserError(
        f"{root} has no prepared data set {name!r}: run {command('prepare', f'--data_dir={root}')} first",
        "data.dir",
        data_dir,
    )


class RecordSource:
    """Videos that `launch.prepare` stored: records of single frames, or of groups of pictures of encoded videos."""

    def __init__(
        self, folder: Path, split: str, labels: Mapping[str, Label] | None = None, stored_splits: Sequence[str] = ()
    ) -> None:
        """Opens a split.

        Args:
            folder: of the prepared data set.
            split: what the videos are used as.
            labels: those of the data set; by default the registered ones.
            stored_splits: the splits of the data set whose videos they are, one after the other; by default `split`.

        Raises:
            UserError: the folder has no such split, an earlier version wrote it, or a label is not registered.
        """
        self.folder, self.split = folder, split
        metadata = json.loads((folder / "metadata.json").read_text())
        if "stored" not in metadata:
            raise UserError(
                f"{folder} was prepared by an earlier version: run {command('prepare')} again", "data.dir", str(folder)
            )
        for wanted in stored_splits or (split,):
            if wanted not in metadata["videos"]:
                there = ", ".join(sorted(metadata["videos"]))
                raise UserError(f"{folder} has no split {wanted!r}, only {there}: prepare more videos", "split", wanted)
        listings = {name: metadata["videos"][name] for name in stored_splits or (split,)}
        self.stored_splits = {name: len(listing["names"]) for name, listing in listings.items()}
        self._names, self._lengths, self._objects = (
            list(itertools.chain.from_iterable(listing[what] for listing in listings.values()))
            for what in ("names", "num_frames", "objects")
        )
        self.content_sha256 = _joined_sha256([listing["sha256"] for listing in listings.values()])
        self.storage = Storage.of(metadata)
        self.stored = str(self.storage)
        self.label_names = tuple(metadata["labels"])
        self._labels = labels or {name: get_label(name) for name in self.label_names}
        self._local = threading.local()

    def __reduce__(self) -> tuple[type["RecordSource"], tuple[Any, ...]]:
        # A worker process imports no plugins: with the labels it gets the modules that registered them.
        return RecordSource, (self.folder, self.split, self._labels, tuple(self.stored_splits))

    def __len__(self) -> int:
        return len(self._names)

    def num_frames(self, video: int) -> int:
        return self._lengths[video]

    def name(self, video: int) -> str:
        return self._names[video]

    def object_name(self, video: int) -> str:
        return self._objects[video]

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        size, first, name = self._index.sizes[video], int(self._firsts[video]), self.name(video)
        try:
            if self.storage.store == "video":
                table = self._table(video)
                groups = table.groups(frame_indices)
                read = self._records.read([first + group for group in groups], name)
                packets = (record["packets"].bytes_list.value for record in read)
                frames = np.empty((len(frame_indices), *size, 3), np.uint8)  # one copy, since they may be large
                for number, frame in enumerate(table.decode(groups.start, packets, frame_indices)):
                    frames[number] = frame
                return frames
            shrink = _largest_shrink(size, min_size)
            read = self._records.read([first + index for index in frame_indices], name)
            return _stack([decode(record["frame"].bytes_list.value[0], shrink) for record in read])
        except UserError as error:
            if error.field:  # it names the shard
                raise
            raise UserError(f"{self.folder}, video '{name}': {error}", "data.dir", str(self.folder)) from error

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        return {
            name: label.read(label.of_video(self._index.labels[name][video]), frame_indices)
            for name, label in self._labels.items()
            if label.read
        }

    @functools.cached_property
    def _index(self) -> Index:
        return Index.joined(list(self._indices.values()))

    @functools.cached_property
    def _indices(self) -> Mapping[str, Index]:
        """The index of each of the stored splits."""
        return {split: Index.load(self.folder / index_name(split)) for split in self.stored_splits}

    @functools.cached_property
    def _firsts(self) -> np.ndarray:
        """The first record of each video."""
        return np.cumsum(self._index.records) - self._index.records

    @functools.cached_property
    def _records(self) -> Records:
        data_set = json.loads((self.folder / "dataset_info.json").read_text())["name"]
        counts = {split: len(index.shards) for split, index in self._indices.items()}
        names = (shard_name(data_set, split, number, of) for split, of in counts.items() for number in range(of))
        return Records([self.folder / name for name in names], self._index.shards.tolist())

    def _table(self, video: int) -> Table:
        """Returns the table of an encoded video. Each thread keeps the last one."""
        if getattr(self._local, "video", None) != video:
            self._local.table, self._local.video = Table.from_json(self._index.streams[video]), video
        return self._local.table


def _joined_sha256(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _stack(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Returns [T, h, w, 3] of frames some of which may have been decoded at a smaller size."""
    height, width = min(frame.shape[:2] for frame in frames)
    return np.stack([transforms.resize(frame, height, width) for frame in frames])


def _largest_shrink(stored_size: np.ndarray, min_size: int) -> int:
    """Returns the divisor by which frames can be reduced while decoding: one of both sides, so that nothing moves."""
    if min_size == 0:
        return 1
    divisors = (s for s in (2, 4, 8) if not any(stored_size % s) and stored_size.min() >= s * min_size)
    return max(divisors, default=1)


def open_source(name: str, data_dir: str, split: str, stored_splits: Sequence[str] = ()) -> RecordSource:
    """Opens a split of a data set prepared on disk, or several as one: see `RecordSource`.

    Raises:
        UserError: the data set was not prepared, or has no such split.
    """
    return RecordSource(find_prepared(data_dir, name), split, stored_splits=stored_splits)
