"""Random access to the videos of a data set, decoding only the requested frames."""

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.input.labels import Label, get_label
from i2v_jax.media import images, paths, videos

SPLITS = ("train", "eval", "test")


class VideoSource(Protocol):
    """One split of a data set. Implementations can be pickled and read from several threads."""

    @property
    def split(self) -> str:
        """One of `SPLITS`."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels (`input/labels.py`) that every clip has."""

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
    """Videos that `launch.prepare` wrote as TFDS ArrayRecord: one record of encoded frames per video."""

    def __init__(self, folder: Path, split: str, labels: Mapping[str, Label] | None = None) -> None:
        """Opens a split.

        Args:
            folder: of the prepared data set.
            split: of the data set.
            labels: those of the data set; by default the registered ones.

        Raises:
            UserError: the folder has no such split, or a label is not registered.
        """
        self.folder, self.split = folder, split
        metadata = json.loads((folder / "metadata.json").read_text())
        if split not in metadata["videos"]:
            raise UserError(
                f"{folder} has no split {split!r}, only {', '.join(sorted(metadata['videos']))}: prepare more videos",
                "split",
                split,
            )
        self._names: list[str] = metadata["videos"][split]["names"]
        self._lengths: list[int] = metadata["videos"][split]["num_frames"]
        self._objects: list[str] | None = metadata["videos"][split].get("objects")  # not in older data sets
        self._stored_as: str = metadata["stored_as"]
        self.label_names = tuple(metadata["labels"])
        self._labels = labels or {name: get_label(name) for name in self.label_names}
        self._local = threading.local()

    def __reduce__(self) -> tuple[type["RecordSource"], tuple[Path, str, Mapping[str, Label]]]:
        # A worker process imports no plugins: with the labels it gets the modules that registered them.
        return RecordSource, (self.folder, self.split, self._labels)

    def __len__(self) -> int:
        return len(self._names)

    def num_frames(self, video: int) -> int:
        return self._lengths[video]

    def name(self, video: int) -> str:
        return self._names[video]

    def object_name(self, video: int) -> str:
        if self._objects is None:
            raise UserError(f"{self.folder} was prepared without names of objects: prepare the data set again")
        return self._objects[video]

    def read(self, video: int, frame_indices: Sequence[int], min_size: int = 0) -> np.ndarray:
        record = self._record(video)
        try:
            shrink = _largest_shrink(_ints(record, "size"), min_size)
            if self._stored_as == "video":
                table = videos.FrameTable(_ints(record, "times"), _ints(record, "keyframes"))
                return videos.decode_at(record["video"].bytes_list.value[0], table, frame_indices, shrink)
            encoded = record["frames"].bytes_list.value
            return np.stack([images.decode_frame(encoded[i], shrink) for i in frame_indices])
        except UserError as error:
            raise UserError(f"{self.folder}, video '{self.name(video)}': {error}") from error

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        record = self._record(video)
        return {name: label.read(record, frame_indices) for name, label in self._labels.items() if label.read}

    def _record(self, video: int) -> Mapping[str, Any]:
        """Returns the record of a video. Each thread caches the last one, for reading labels and then pixels."""
        local = self._local
        if getattr(local, "video", None) != video:
            if not hasattr(local, "records"):
                builder = tfds.builder_from_directory(self.folder)
                local.records = builder.as_data_source(
                    split=self.split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
                )
            try:
                example = tf_example_pb2.Example.FromString(local.records[video])
                if "size" not in example.features.feature:
                    raise ValueError("an empty record")
            except Exception as error:  # of many types, from the ArrayRecord library and the file system
                raise self._unreadable(video, error) from error
            local.record, local.video = example.features.feature, video
        return local.record

    def _unreadable(self, video: int, error: Exception) -> UserError:
        """Returns the error for a video that cannot be read, which names the file that it is in."""
        split = tfds.builder_from_directory(self.folder).info.splits[self.split]
        ends = itertools.accumulate(split.shard_lengths)
        path = next(path for path, end in zip(split.filepaths, ends, strict=True) if video < end)
        problem = f"is damaged ({str(error).strip().splitlines()[0][:200]})" if Path(path).is_file() else "is missing"
        return UserError(
            f"{path} {problem}: video '{self.name(video)}' cannot be read; restore the file or prepare the data again",
            "data.dir",
            str(path),
        )


def _ints(record: Mapping[str, Any], key: str) -> np.ndarray:
    return np.asarray(record[key].int64_list.value, np.int64)


def _largest_shrink(stored_size: np.ndarray, min_size: int) -> int:
    """Returns the divisor by which frames can be reduced while decoding."""
    if min_size == 0:
        return 1
    return max(shrink for shrink in (1, 2, 4, 8) if shrink == 1 or stored_size.min() >= shrink * min_size)


def open_source(name: str, data_dir: str, split: str) -> RecordSource:
    """Opens a split of a data set prepared on disk. Raises UserError if it was not prepared or has no such split."""
    return RecordSource(find_prepared(data_dir, name), split)
