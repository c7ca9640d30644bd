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
        clips = []
        for video in found:
            parts = video.name.split("/")
            at = next((i for i, part in enumerate(parts) if part in _FOLDERS), None)
            if at is not None:
                split = _FOLDERS[parts[at]][0]
                group = "/".join(parts[at : at + 2])
                clips.append(dataclasses.replace(video, name="/".join(parts[at:]), split=split, group=group))
        if not clips:
            raise UserError(
                f"{raw_dir} has no clips in sky_train/ or sky_test/: see data/landscape/README.md",
                "raw_dir",
                str(raw_dir),
            )
        split_of = _listed()
        listed = [dataclasses.replace(v, split=split_of[v.name]) for v in clips if v.name in split_of]
        if not listed:
            return clips, skipped
        names = {video.name for video in clips}
        skipped += [raw.Skipped(v.name, "in none of the release's lists") for v in clips if v.name not in split_of]
        skipped += [
            raw.Skipped(name, "in the release's lists, but not found") for name in split_of if name not in names
        ]
        return listed, skipped


def _listed() -> dict[str, str]:
    """Returns the split of each clip that the release lists, by its name below the raw folder."""
    return {
        f"{folder}/{clip}": split
        for folder, splits in _FOLDERS.items()
        for split in splits
        for clip in lists.published("landscape", split)
    }
