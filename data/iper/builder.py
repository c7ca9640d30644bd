"""`iper`: people performing motions, one mp4 per person, outfit and motion."""

import dataclasses
from pathlib import Path

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError


class Iper(VideoBuilder):
    """`*.mp4` named `<person>_<outfit>_<motion>.mp4`, split by `train.txt` and `val.txt`; `val` is the test split."""

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        split_of = {
            name: split
            for split, file in (("train", "train.txt"), ("test", "val.txt"))
            for name in _listed(raw_dir, file)
        }
        listed = []
        for video in found:
            key = video.path.stem
            if key in split_of:
                listed.append(dataclasses.replace(video, split=split_of[key], group=key.split("_")[0]))
            else:
                skipped.append(raw.Skipped(video.name, "not listed in train.txt or val.txt"))
        return listed, skipped


def _listed(raw_dir: Path, file: str) -> list[str]:
    """Returns the names in a list; `001/1/2`, `001_1_2` and `001_1_2.mp4` are the same."""
    path = raw_dir / file
    if not path.is_file():
        raise UserError(f"there is no {path}, which lists the videos of a split: see data/iper/README.md", "raw_dir")
    return [
        line.strip().removesuffix(".mp4").replace("/", "_") for line in path.read_text().splitlines() if line.strip()
    ]
