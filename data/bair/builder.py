"""`bair`: a robot arm that pushes objects, with the position of its end effector."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from i2v_jax.data import lists, raw, tfrecords
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError
from i2v_jax.media.paths import frame_files

_POSITIONS = "endeffector_positions.csv"
_RECORDS = ".tfrecords"
_EVAL = "traj_256_to_511"  # of the original train folder
_SIDE = 64  # pixels of a frame in a record


class Bair(VideoBuilder):
    """The original TFRecords, also in their tar file, or `{train,eval,test}/traj_*/<number>/*.png`.

    A video may have `endeffector_positions.csv` with x, y, z for each frame.
    """

    LABELS = ("endpoint",)

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        """Returns the records and the folders of frames, with the same names `train/traj_512_to_767/1`."""
        found, skipped = raw.find_videos(raw_dir)
        skipped = [item for item in skipped if not item.path.endswith(_RECORDS)]
        videos = [_placed(video) for video in found]
        for file in raw.find_files(raw_dir, _RECORDS):
            try:
                videos.extend(_records(file, raw_dir))  # those before a damaged one are taken
            except UserError as error:
                skipped.append(raw.Skipped(file.name, str(error)))
        return videos, skipped

    @classmethod
    def read_labels(cls, video: raw.RawVideo) -> dict[str, Any]:
        path = video.path / _POSITIONS
        if not path.is_file():
            return {}  # only a control needs it
        try:
            positions = [[float(value) for value in row[:3]] for row in lists.rows(path)]
        except ValueError as error:
            raise UserError(f"{_POSITIONS}: {error}") from error
        frames = len(frame_files(video.path))
        if len(positions) != frames or any(len(position) != 3 for position in positions):
            raise UserError(f"{_POSITIONS} must have one line x,y,z for each of the {frames} frames")
        return {"endpoint": positions}


def _records(file: raw.RawFile, raw_dir: Path) -> Iterator[raw.RawVideo]:
    folder = file.name.removesuffix(_RECORDS)
    with file.path.open("rb") as opened:
        for number, offset in enumerate(tfrecords.index(opened, file.begin, file.size), 1):
            yield _placed(raw.RawVideo(f"{folder}/{number}", file.path, inside=Record(offset), root=raw_dir))


def _placed(video: raw.RawVideo) -> raw.RawVideo:
    """Returns a video with the split of its folder, and without the folders above that in its name."""
    parts = video.name.split("/")
    at = max((i for i, part in enumerate(parts) if raw.split_of(part)), default=-1)
    if at < 0:
        return video
    split = raw.split_of(parts[at]) or video.split
    if split == "train" and _EVAL in parts[at:]:
        split, parts[at] = "eval", "eval"
    return dataclasses.replace(video, name="/".join(parts[at:]), split=split)


@dataclasses.dataclass(frozen=True)
class Record:
    """A video in a TFRecord file, see `raw.Inside`."""

    offset: int

    def take_out(self, path: Path, folder: Path) -> Path:
        """Writes `0.png`, `1.png` and so on, and `endeffector_positions.csv`."""
        with path.open("rb") as file:
            record = tfrecords.read(file, self.offset)
        try:
            features = tf_example_pb2.Example.FromString(record).features.feature
        except DecodeError as error:
            raise UserError("the record is not a tf.train.Example: it is not of this data set") from error
        rows: list[Sequence[float]] = []
        while (key := f"{len(rows)}/image_aux1/encoded") in features:
            pixels = np.frombuffer(b"".join(features[key].bytes_list.value), np.uint8)
            if pixels.size != _SIDE * _SIDE * 3:
                raise UserError(f"{key} has {pixels.size} bytes instead of those of a 64x64 image")
            Image.fromarray(pixels.reshape(_SIDE, _SIDE, 3)).save(folder / f"{len(rows)}.png", compress_level=1)
            rows.append(features[f"{len(rows)}/endeffector_pos"].float_list.value)
        if not rows:
            raise UserError("the record has no frames 0/image_aux1/encoded and so on: it is not of this data set")
        if all(len(row) == 3 for row in rows):
            (folder / _POSITIONS).write_text("".join(",".join(map(repr, row)) + "\n" for row in rows))
        return folder
