"""`poking_plants`: recordings of pot plants that are pushed; every video gives parts to all splits."""

import dataclasses
from pathlib import Path

from data import raw
from data.video_builder import VideoBuilder

# Shares of each video, in order: a fifth is test, as in the paper, and eval is held out of the rest.
_PARTS = {"train": (0.0, 0.7), "eval": (0.7, 0.8), "test": (0.8, 1.0)}


class PokingPlants(VideoBuilder):
    """Video files, or folders of frames, one for each recording of a plant."""

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        return [
            dataclasses.replace(video, name=f"{video.name} ({split})", split=split, part=part, object=video.name)
            for video in found
            for split, part in _PARTS.items()
        ], skipped
