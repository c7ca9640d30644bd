"""A label that is added from outside of the package, and a data set that stores it, as `docs/extending.md` shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2v_jax.data import raw
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.registry import register
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.input import labels


def read_wind(stored: np.ndarray, frame_indices: Sequence[int]) -> np.ndarray:
    """The wind (x, y) at the last frame of a clip."""
    return stored[frame_indices[-1]]


def mirror_wind(wind: np.ndarray) -> np.ndarray:
    return wind * np.float32([-1, 1])


labels.register("wind", labels.Label(np.float32, (2,), mirror=mirror_wind, stored=(None, 2), read=read_wind))


class WindyClips(VideoBuilder):
    """Folders of frames, each with `wind.csv`: x, y per frame."""

    name = "windy_clips"
    LABELS = ("wind",)

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        return raw.find_videos(raw_dir)  # the top folder is the split

    @classmethod
    def read_labels(cls, video: raw.RawVideo) -> dict[str, Any]:
        return {"wind": np.loadtxt(video.path / "wind.csv", delimiter=",").tolist()}


register(PreparedDataSet(builder=WindyClips))
