"""`taichi`: Tai-Chi videos from the web, cropped to the person."""

import dataclasses
from pathlib import Path

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder


class Taichi(VideoBuilder):
    """`train/` and `test/` with `<recording>#<first>#<last>.mp4`, or folders of frames.

    Parts of one recording stay in the same split when eval is held out.
    """

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        return [dataclasses.replace(video, group=video.path.stem.split("#")[0]) for video in found], skipped
