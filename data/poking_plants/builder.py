"""`poking_plants`: recordings of potted plants that are pushed; every video has parts in all splits."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError

# Fractions of each video, in order: a fifth is test, as in the paper, and eval is held out of the rest.
_PARTS = {"train": (0.0, 0.7), "eval": (0.7, 0.8), "test": (0.8, 1.0)}


class PokingPlants(VideoBuilder):
    """Video files or folders of frames, one for each recording of a plant; `objects.txt` may list the plants."""

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        object_of = _plants(raw_dir, found)
        return [
            dataclasses.replace(
                video, name=f"{video.name} ({split})", split=split, part=part, object=object_of[video.name]
            )
            for video in found
            for split, part in _PARTS.items()
        ], skipped


def _plants(raw_dir: Path, videos: Sequence[raw.RawVideo]) -> dict[str, str]:
    """Returns the plant that each video shows: from `objects.txt`, or else the part of its file name before "_".

    Raises:
        UserError: `objects.txt` lacks a video, or has a line that is not `VIDEO PLANT`.
    """
    path = raw_dir / "objects.txt"
    if not path.is_file():
        return {video.name: Path(video.name).stem.partition("_")[0] for video in videos}
    listed = {}
    for number, line in enumerate(filter(None, map(str.strip, path.read_text().splitlines())), 1):
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


def _without_suffix(video: raw.RawVideo) -> str:
    return video.name if video.path.is_dir() else str(Path(video.name).with_suffix(""))
