"""`landscape`: time-lapse skies as nested folders of frames."""

import dataclasses
from pathlib import Path

from i2v_jax.data import lists, raw
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError

_FOLDERS = {"sky_train": ("train", "eval"), "sky_test": ("test",)}


class Landscape(VideoBuilder):
    """`sky_train/<recording>/<clip>/*.jpg` and `sky_test/...`, also in the authors' archive."""

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        """Returns the clips of the release's lists. If no clip is listed, all: those of a recording stay together."""
        found, skipped = raw.find_videos(raw_dir)
        there = []
        for video in found:
            parts = video.name.split("/")
            at = next((i for i, part in enumerate(parts) if part in _FOLDERS), None)
            if at is not None:
                split = _FOLDERS[parts[at]][0]
                group = "/".join(parts[at : at + 2])
                there.append(dataclasses.replace(video, name="/".join(parts[at:]), split=split, group=group))
        if not there and skipped:
            return [], skipped  # which says what is wrong with them
        if not there:
            raise UserError(
                f"{raw_dir} has no clips in sky_train/ or sky_test/: see data/landscape/README.md",
                "raw_dir",
                str(raw_dir),
            )
        split_of = {name: split for splits in _FOLDERS.values() for split in splits for name in clips(split)}
        listed = [dataclasses.replace(v, split=split_of[v.name]) for v in there if v.name in split_of]
        if not listed:
            return there, skipped
        names = {video.name for video in there}
        skipped += [raw.Skipped(v.name, "in none of the release's lists") for v in there if v.name not in split_of]
        skipped += [
            raw.Skipped(name, "in the release's lists, but not found") for name in split_of if name not in names
        ]
        return listed, skipped


def clips(split: str) -> list[str]:
    """Returns the names of the clips that the release lists for a split, each once."""
    folder = next(folder for folder, splits in _FOLDERS.items() if split in splits)
    return list(dict.fromkeys(f"{folder}/{clip}" for clip in lists.published("landscape", split)))
