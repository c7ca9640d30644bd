"""The files of a prepared data set: ArrayRecord shards of small records, and for each split an index beside them.

A record holds one frame, or one group of pictures of an encoded video, as a `tf.train.Example` that TFDS reads too. So
a clip reads the records that it shows, and nothing else. The records of a split are numbered through its shards; those
of one video follow each other. The index says where each video begins, and holds what is known about it:

    shards         int64 [S], records of each shard
    records        int64 [V], records of each video
    sizes          int64 [V, 2], height and width of the stored frames
    labels/NAME    float32 [...], the values of all videos one after the other
    lengths/NAME   int64 [V], how many of these values belong to each video
    streams        uint8 [...], JSON: what `media.packets` needs to decode each video; only for encoded videos

`metadata.json` lists the names and numbers of frames of all videos, and says how they are stored (`Storage`).
"""

import bisect
import dataclasses
import io
import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.input import workers

# Without reading ahead, as many bytes are read as the records have.
_RANDOM_ACCESS = "readahead_buffer_size:0,max_parallelism:0"


@dataclasses.dataclass(frozen=True)
class Storage:
    """How the frames of a data set are stored, as `metadata.json` says under "stored"."""

    store: str  # "frames" or "video"
    frame_format: str  # that was asked for, see `staging.StoreOptions`
    jpeg_quality: int
    max_size: int  # maximum of the shorter side in pixels; 0: no maximum
    every: int  # only every n-th frame is stored
    encodings: tuple[str, ...]  # that occur, in alphabetical order
    scaled: bool  # whether a frame had another size than it is stored with
    fps: float = 0  # frames per second that video files were resampled to; 0: each frame once
    size: int = 0  # height and width to which frames were squeezed; 0: their own
    resize: str = "area"  # how, see `transforms.resize`

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        """Returns what `metadata.json` says."""
        return cls(**{**metadata["stored"], "encodings": tuple(metadata["stored"]["encodings"])})

    def __str__(self) -> str:
        """Returns what makes stored frames differ from the original ones, for the protocol of a metric."""
        parts = sorted({"lossless" if encoding.startswith("lossless") else encoding for encoding in self.encodings})
        if self.scaled:
            words = f"squeezed to {self.size}x{self.size}" if self.size else f"shorter side {self.max_size}"
            parts.append(words if self.resize == "area" else f"{words}, not averaged")
        if self.every > 1:
            parts.append(f"every {self.every} frames")
        if self.fps:
            parts.append(f"{self.fps:g} frames per second")
        return ", ".join(parts)


def shard_name(data_set: str, split: str, shard: int, shards: int) -> str:
    """Returns the file name of a shard, as TFDS has them."""
    return f"{data_set}-{split}.array_record-{shard:05d}-of-{shards:05d}"


def index_name(split: str) -> str:
    """Returns the file name of the index of a split."""
    return f"index-{split}.npz"


@dataclasses.dataclass(frozen=True)
class Index:
    """The index of a split; see the head of this file."""

    shards: np.ndarray
    records: np.ndarray
    sizes: np.ndarray
    labels: Mapping[str, Sequence[np.ndarray]]  # flat values of each video
    streams: Sequence[Any]  # of encoded videos

    def save(self, path: Path) -> None:
        """Writes the index."""
        arrays = {"shards": self.shards, "records": self.records, "sizes": self.sizes}
        for name, values in self.labels.items():
            arrays[f"labels/{name}"] = np.concatenate(values)
            arrays[f"lengths/{name}"] = np.asarray([len(v) for v in values], np.int64)
        if self.streams:
            arrays["streams"] = np.frombuffer(json.dumps(self.streams).encode(), np.uint8)
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads an index. Raises UserError if the file is missing or damaged."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            labels = {
                name.removeprefix("labels/"): np.split(values, np.cumsum(found[name.replace("labels", "lengths", 1)]))
                for name, values in found.items()
                if name.startswith("labels/")
            }
            streams = json.loads(found["streams"].tobytes()) if "streams" in found else ()
            return cls(found["shards"], found["records"], found["sizes"], labels, streams)
        except Exception as error:  # of many types, from NumPy, zipfile and the file system
            raise UserError(
                f"{path} {_problem(path, error)}: restore the file or prepare the data again", "data.dir", str(path)
            ) from error

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Returns the index of splits that follow each other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            shards=np.concatenate([part.shards for part in parts]),
            records=np.concatenate([part.records for part in parts]),
            sizes=np.concatenate([part.sizes for part in parts]),
            labels={
                name: [values for part in parts for values in part.labels[name][: len(part.records)]]
                for name in parts[0].labels
            },
            streams=[stream for part in parts for stream in part.streams],
        )


class Records:
    """Random access to the records of a split, by their numbers. Each thread has its own readers."""

    def __init__(self, paths: Sequence[Path], lengths: Sequence[int]) -> None:
        """`lengths` has the number of records of each of the shards `paths`."""
        self._paths, self._ends = tuple(paths), list(itertools.accumulate(lengths))
        self._local = threading.local()

    def read(self, numbers: Sequence[int], video: str) -> list[Mapping[str, Any]]:
        """Returns the features of records of one video, in the order of their numbers.

        Args:
            numbers: of the records.
            video: its name, which the records have too.

        Raises:
            UserError: a shard is missing or damaged; the message names the shard and the video.
        """
        found = []
        for shard, group in itertools.groupby(numbers, lambda number: bisect.bisect_right(self._ends, number)):
            first = self._ends[shard - 1] if shard else 0
            found += self._read_from(shard, [number - first for number in group], video)
        return found

    def _read_from(self, shard: int, positions: Sequence[int], video: str) -> list[Mapping[str, Any]]:
        workers.note(f"{self._paths[shard]}, video '{video}'")
        try:
            read = self._reader(shard).read(positions)
            found = [tf_example_pb2.Example.FromString(record).features.feature for record in read]
            if any(record["video"].bytes_list.value[0] != video.encode() for record in found):
                raise ValueError("its records are not those of the index")
        except Exception as error:  # of many types, from the ArrayRecord library and the file system
            path = self._paths[shard]
            raise UserError(
                f"{path} {_problem(path, error)}: video '{video}' cannot be read; restore the file or prepare the data "
                "again",
                "data.dir",
                str(path),
            ) from error
        return found

    def _reader(self, shard: int) -> Any:
        readers = self._local.__dict__.setdefault("readers", {})
        if shard not in readers:
            path, ends = self._paths[shard], self._ends
            reader = array_record_module.ArrayRecordReader(str(path), _RANDOM_ACCESS)
            expected = ends[shard] - (ends[shard - 1] if shard else 0)
            if reader.num_records() != expected:
                raise ValueError(f"{reader.num_records()} records instead of {expected}")
            readers[shard] = reader
        return readers[shard]


def _problem(path: Path, error: Exception) -> str:
    if not files.location(path).is_file():
        return "is missing"
    words = str(error).strip() or type(error).__name__
    return f"is damaged ({words.splitlines()[0][:200]})"


def write_example(video: str, **values: bytes | Sequence[bytes] | int) -> bytes:
    """Returns a serialized record of a video."""
    example = tf_example_pb2.Example()
    feature = example.features.feature
    for name, value in {"video": video.encode(), **values}.items():
        if isinstance(value, int):
            feature[name].int64_list.value.append(value)
        else:
            feature[name].bytes_list.value.extend([value] if isinstance(value, bytes) else value)
    return example.SerializeToString(deterministic=True)
