"""`bair`: a robot arm that pushes objects, with the position of its end effector."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError
from i2v_jax.media.paths import frame_files

_POSITIONS = "endeffector_positions.csv"


class Bair(VideoBuilder):
    """`{train,test}/traj_*/<number>/*.png`, each with `endeffector_positions.csv`: x, y, z per frame."""

    LABELS = ("endpoint",)

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        """Returns the folders that contain frames; the split is the folder `train` or `test` on their path."""
        found, skipped = raw.find_videos(raw_dir)
        return [
            dataclasses.replace(v, split="test" if "test" in v.name.split("/") else "train") for v in found
        ], skipped

    @classmethod
    def read_labels(cls, video: raw.RawVideo) -> dict[str, Any]:
        path = video.path / _POSITIONS
        if not path.is_file():
            raise UserError(f"there is no {_POSITIONS} next to the frames")
        with path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row]
        try:
            positions = [[float(value) for value in row[:3]] for row in rows]
        except ValueError as error:
            raise UserError(f"{_POSITIONS}: {error}") from error
        frames = len(frame_files(video.path))
        if len(positions) != frames or any(len(position) != 3 for position in positions):
            raise UserError(f"{_POSITIONS} must have one line x,y,z for each of the {frames} frames")
        return {"endpoint": positions}
