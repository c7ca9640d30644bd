"""A data set that is added from outside of the package, as `docs/extending.md` shows."""

from pathlib import Path
from typing import Any

from i2v_jax.data import raw
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.protocol import Protocol
from i2v_jax.data.registry import register
from i2v_jax.data.video_builder import VideoBuilder


class MovingSquares(VideoBuilder):
    """Video files `SPLIT/NAME_DEGREES.mp4` of a square that moves in that direction."""

    name = "moving_squares"
    LABELS = ("direction",)

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        return raw.find_videos(raw_dir)  # the top folder is the split

    @classmethod
    def read_labels(cls, video: raw.RawVideo) -> dict[str, Any]:
        return {"direction": float(video.path.stem.rpartition("_")[2])}


MOVING_SQUARES = PreparedDataSet(
    builder=MovingSquares,
    protocol=Protocol("moving_squares", 16, True, "first", clips_per_video=1, metrics=("psnr", "ssim")),
)
register(MOVING_SQUARES)
