"""`human36m`: actors in a studio, seen by four cameras."""

import dataclasses
import hashlib
import re
from pathlib import Path

from i2v_jax.data import lists, raw
from i2v_jax.data.video_builder import VideoBuilder

_SPLITS = dict.fromkeys(("S1", "S5", "S6", "S7", "S8"), "train") | dict.fromkeys(("S9", "S11"), "test")
_CAMERA = re.compile(r"\.\d{8}$")
_ALL = re.compile("ALL")


class Human36M(VideoBuilder):
    """`S<subject>/Videos/<action>.<camera>.mp4`, also in the archives `Videos_S<subject>.tgz`.

    Subjects 9 and 11 are test. All cameras of an action stay together when eval is held out.
    """

    name = "human36m"
    EVAL_IS_TEST = ("release",)
    RELEASED_AS = "png"

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        damaged = _damaged({video.path for video in found if video.inside})
        skipped += [raw.Skipped(path.name, reason) for path, reason in damaged.items()]
        placed = []
        for video in found:
            *folders, file = video.name.split("/")
            subject = next((part for part in folders if part in _SPLITS), "")
            if video.path in damaged:
                continue
            if not subject:
                skipped.append(raw.Skipped(video.name, f"in none of the folders {', '.join(_SPLITS)}"))
            elif _ALL.search(file):
                skipped.append(raw.Skipped(video.name, "all actions in one file, which the release leaves out"))
            else:
                name = f"{subject}/{file}"
                group = f"{subject}/{_CAMERA.sub('', Path(file).stem)}"
                placed.append(
                    dataclasses.replace(video, name=name, split=_SPLITS[subject], group=group, object=subject)
                )
        return placed, skipped


def _damaged(archives: set[Path]) -> dict[Path, str]:
    """Returns the archives that do not have the checksum that the release lists for their name."""
    listed = (line.split() for line in lists.published("human36m", "checksums"))
    expected = {Path(path).name: checksum for checksum, path in listed}
    damaged = {}
    for path in sorted(archives):
        if path.name in expected:
            with path.open("rb") as file:
                checksum = hashlib.file_digest(file, "md5").hexdigest()
            if checksum != expected[path.name]:
                damaged[path] = f"its MD5 is {checksum} instead of {expected[path.name]}: download it again"
    return damaged
