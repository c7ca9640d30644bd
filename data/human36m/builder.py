"""`human36m`: actors in a studio, seen by four cameras."""

import dataclasses
import re
from pathlib import Path

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder

_SPLITS = dict.fromkeys(("S1", "S5", "S6", "S7", "S8"), "train") | dict.fromkeys(("S9", "S11"), "test")
_CAMERA = re.compile(r"\.\d{8}$")


class Human36M(VideoBuilder):
    """`S<subject>/Videos/<action>.<camera>.mp4`: 9 and 11 are test; all cameras of an action stay together."""

    name = "human36m"

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        placed = []
        for video in found:
            subject = next((part for part in video.name.split("/") if part in _SPLITS), "")
            if subject:
                group = f"{subject}/{_CAMERA.sub('', video.path.stem)}"
                placed.append(dataclasses.replace(video, split=_SPLITS[subject], group=group, object=subject))
            else:
                skipped.append(raw.Skipped(video.name, f"in none of the folders {', '.join(_SPLITS)}"))
        return placed, skipped
