"""`poking_plants`: recordings of potted plants that are pushed; every video has parts in both splits."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from i2v_jax.data import lists, raw
from i2v_jax.data.video_builder import EVERY_PRESET, VideoBuilder
from i2v_jax.errors import UserError

_PARTS = {"train": (0.0, 0.8), "test": (0.8, 1.0)}  # fractions of each video, in order
_NAME = re.compile(r"VID_(\d+)_\w+")
# What the release leaves out: a plant, and a crop of VID_0_3 that it had made itself.
_UNUSED_PLANT, _UNUSED_CROP = "8", "VID_0_3_1024x1024"


class PokingPlants(VideoBuilder):
    """`VID_<plant>_<take>.mkv`, also in the authors' zip file in parts, or folders of frames.

    The plant is the second field of the name; `objects.txt` may list the plants of videos with other names.
    """

    EVAL_IS_TEST = EVERY_PRESET
    RELEASED_AS = "png"

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        found = [dataclasses.replace(video, name=Path(video.name).name) if video.inside else video for video in found]
        object_of = _plants(raw_dir, found)
        return [
            dataclasses.replace(
                video, name=f"{video.name} ({split})", split=split, part=part, object=object_of[video.name]
            )
            for video in found
            for split, part in _PARTS.items()
        ], skipped

    @classmethod
    def leave_out(cls, video: raw.RawVideo, preset: str) -> str:
        if preset == "release" and video.object == _UNUSED_PLANT:
            return f"plant {_UNUSED_PLANT}, which the release leaves out"
        if preset == "release" and Path(video.name).name.startswith(_UNUSED_CROP):
            return f"{_UNUSED_CROP}, which the release leaves out"
        return ""


def _plants(raw_dir: Path, videos: Sequence[raw.RawVideo]) -> dict[str, str]:
    """Returns the plant that each video shows: from `objects.txt`, or else from its file name.

    Raises:
        UserError: `objects.txt` lacks a video, or has a line that is not `VIDEO PLANT`.
    """
    path = raw_dir / "objects.txt"
    if not path.is_file():
        return {video.name: _plant(Path(video.name).stem) for video in videos}
    listed = {}
    for number, line in enumerate(filter(None, map(str.strip, lists.text(path).splitlines())), 1):
        name, _, plant = line.rpartition(" ")
        if not name.strip():
            raise UserError(f"{path}: line {number} is {line!r}, but must be VIDEO PLANT", "objects.txt", line)
        listed[name.strip()] = plant
    objects = {video.name: listed.get(video.name, listed.get(_without_suffix(video))) for video in videos}
    missing = [name for name, plant in objects.items() if plant is None]
    if missing:
        raise UserError(
            f"{path} does not say which plant {missing[0]} shows ({len(missing)} videos are missing): add a line",
            "objects.txt",
            missing[0],
        )
    return {name: plant for name, plant in objects.items() if plant is not None}


def _plant(name: str) -> str:
    """Returns the second field of `VID_<plant>_<take>`, and the first field of any other name."""
    published = _NAME.fullmatch(name)
    return str(int(published[1])) if published else name.partition("_")[0]


def _without_suffix(video: raw.RawVideo) -> str:
    return video.name if video.path.is_dir() else str(Path(video.name).with_suffix(""))
