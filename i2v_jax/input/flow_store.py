"""Optical flow that is stored next to a prepared data set, one file for each video and distance between frames.

    DATA/flow/distance_0010/train/000012.npy   video 12: one record for each start frame, see `record`
    DATA/flow/distance_0010/train/options.json the options that the flows of the split were made with
    DATA/flow/distance_0010/statistics.json    the longest vector of the data set, see `FlowStore.longest`

All records of a file have the same size, so a clip reads exactly the bytes of its flow. `numpy.load` reads the files,
too.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.input import record_files

Longest = tuple[float, float]  # in frame sizes (dx / width, dy / height), and in shorter sides of the frame


def record(height: int, width: int) -> np.dtype[Any]:
    """Returns the type of a record: a flow map of `height` x `width` pixels.

    The flow is `scale * flow`, in pixels. The scale is a power of two that brings all values into [-1, 1], where
    float16 has a relative error of at most 0.05 % and no overflow. `longest` is the length of the longest vector.
    """
    return np.dtype([("scale", "<f4"), ("longest", "<f4", (2,)), ("flow", "<f2", (height, width, 2))])


def to_record(flow: np.ndarray) -> np.ndarray:
    """Returns the record of a flow map, float32 [h, w, 2] in pixels."""
    height, width = flow.shape[:2]
    dx, dy = flow[..., 0].astype(np.float64), flow[..., 1].astype(np.float64)
    longest = (np.hypot(dx / width, dy / height).max(), np.hypot(dx, dy).max() / min(height, width))
    scale = 2.0 ** np.ceil(np.log2(max(np.abs(flow).max(), 2.0**-64)))
    return np.array((scale, longest, flow / scale), record(height, width))


def flow_folder(prepared: Path, distance: int) -> Path:
    """Returns the folder of the flows over `distance` frames, for all splits of a prepared data set."""
    return prepared / "flow" / f"distance_{distance:04d}"


@dataclasses.dataclass(frozen=True)
class FlowStore:
    """The flows that `launch.prepare --flow` stored for the videos of splits."""

    prepared: Path  # the prepared data set
    stored_splits: Mapping[str, int]  # see `record_files.path`

    def folder(self, distance: int) -> Path:
        """Returns the folder of the flows over `distance` frames, for all splits."""
        return flow_folder(self.prepared, distance)

    def path(self, video: int, distance: int) -> Path:
        return record_files.path(self.folder(distance), self.stored_splits, video)

    def has(self, video: int, distance: int) -> bool:
        """Returns whether the flow of a video was stored; of videos without motion it was not."""
        return self.path(video, distance).is_file()

    def missing(self, distance: int) -> Path | None:
        """Returns the first folder of a split that does not exist, as its flow over this distance was not stored."""
        folders = (self.folder(distance) / split for split in self.stored_splits)
        return next((folder for folder in folders if not folder.is_dir()), None)

    def count(self, video: int, distance: int) -> int:
        """Returns how many flows of a video there are: from its first frames."""
        return record_files.count(self.path(video, distance))

    def options(self, distance: int) -> dict[str, Any]:
        """Returns the options that the flows were made with, which are those of all splits; empty if there are none."""
        path = self.folder(distance) / next(iter(self.stored_splits)) / "options.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def described(self, distance: int) -> dict[str, Any]:
        """Returns `options` without the place of files that the flows were read from: a digest of the flows instead."""
        options, statistics = self.options(distance), self.folder(distance) / "statistics.json"
        if not Path(options.get("flow", "")).is_absolute():
            return options
        found = json.loads(statistics.read_text()) if statistics.is_file() else {}
        return options | {"flow": "files", "sha256": found.get("sha256", "")}

    def read(self, video: int, first: int, second: int) -> np.ndarray:
        """Returns the flow from frame `first` to frame `second`, float32 [h, w, 2] in pixels of its own size.

        Raises:
            UserError: it was not stored, or the file is damaged.
        """
        stored = record_files.read(self.path(video, second - first), first)
        if stored.dtype.names is None:  # written before there were records
            return stored.astype(np.float32)
        return stored["scale"] * stored["flow"].astype(np.float32)

    def longest(self, distance: int) -> Longest:
        """Returns the length of the longest vector of the data set over `distance` frames, in all splits.

        Raises:
            UserError: it is not known, because the flow was not stored, or by an earlier version.
        """
        path = self.folder(distance) / "statistics.json"
        if not path.is_file():
            prepare = command("prepare", "--flow=dis", f"--flow_distance={distance}", "...")
            raise UserError(f"there is no {path}: run {prepare}, which writes it", "data.poke.normalize", str(path))
        found = json.loads(path.read_text())
        return found["longest_in_frame_sizes"], found["longest_in_shorter_sides"]


def longest_by_start(path: Path) -> np.ndarray:
    """Returns the length of the longest vector of each flow of a video, float32 [starts, 2], as in `Longest`."""
    flows = np.load(path, mmap_mode="r", allow_pickle=False)
    if flows.dtype.names is None:  # written before there were records
        flows = np.stack([to_record(np.asarray(flow, np.float32)) for flow in flows])
    return np.asarray(flows["longest"])
