"""`landscape`: time-lapse skies as nested folders of frames."""

import dataclasses
from pathlib import Path

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError

_FOLDERS = {"sky_train": "train", "sky_test": "test"}


class Landscape(VideoBuilder):
    """`sky_train/<video>/<clip>/*.jpg` and `sky_test/...`; clips of one video stay in one split."""

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        placed = []
        for video in found:
            top, *rest = video.name.split("/")
            if top in _FOLDERS:
                group = "/".join([top, *rest[:1]])
                placed.append(dataclasses.replace(video, split=_FOLDERS[top], group=group))
        if not placed:
            raise UserError(
                f"{raw_dir} has no clips in sky_train/ or sky_test/: see data/landscape/README.md",
                "raw_dir",
                str(raw_dir),
            )
        return placed, skipped
