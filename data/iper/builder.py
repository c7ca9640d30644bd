"""`iper`: people performing motions, one video per person, outfit and motion."""

import dataclasses
import re
from pathlib import Path

from i2v_jax.data import lists, raw
from i2v_jax.data.video_builder import VideoBuilder

_LISTS = ("train", "val", "test")
_RELEASED = {"train": "train", "eval": "val", "test": "test"}
_NAME = re.compile(r"(\d{3})_(\d+)_(\d+)")


class Iper(VideoBuilder):
    """`<person>_<outfit>_<motion>.mp4`, also in the authors' zip file, or folders of frames with these names."""

    RELEASED_AS = "png"

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        """Returns the listed videos. `train.txt` and `val.txt` of the raw folder replace the lists of the release."""
        found, skipped = raw.find_videos(raw_dir)
        split_of, where = _splits(raw_dir)
        listed = []
        for video in found:
            key = Path(video.name).name.removesuffix(Path(video.name).suffix)
            named = _NAME.fullmatch(key)
            if named is None or key not in split_of:
                skipped.append(raw.Skipped(video.name, f"not in {where}"))
                continue
            outfit = f"{named[1]}_{named[2]}"
            listed.append(dataclasses.replace(video, name=key, split=split_of[key], group=outfit, object=outfit))
        missing = split_of.keys() - {video.name for video in listed}
        skipped += [raw.Skipped(key, f"in {where}, but not found") for key in sorted(missing)]
        return listed, skipped


def _splits(raw_dir: Path) -> tuple[dict[str, str], str]:
    """Returns the split of each video, and which lists say so.

    The release's list `val.txt` is its eval split. The authors' list `val.txt` is the test split; they have no other.
    """
    own = {path.stem: lists.read(path) for path in (raw_dir / f"{name}.txt" for name in _LISTS) if path.is_file()}
    if not own or "train" not in own:
        return _by_name({split: released(split) for split in _RELEASED}), "the lists of the release"
    if "test" in own:
        return _by_name({split: own[name] for split, name in _RELEASED.items() if name in own}), _own_lists(own)
    given = _by_name({"train": own["train"], "test": own.get("val", [])})
    release = _by_name({split: released(split) for split in _RELEASED})
    authors = {name: "train" if split == "eval" else split for name, split in release.items()}
    return (release, "the lists of the release") if given == authors else (given, _own_lists(own))


def released(split: str) -> list[str]:
    """Returns the names of the videos that the release lists for a split."""
    return list(_by_name({split: lists.published("iper", _RELEASED[split])}))


def _own_lists(own: dict[str, list[str]]) -> str:
    return " or ".join(f"{name}.txt" for name in own)


def _by_name(names: dict[str, list[str]]) -> dict[str, str]:
    """Returns the split of each name; `001/1/2`, `001_1_2` and `001_1_2.mp4` are the same."""
    return {line.removesuffix(".mp4").replace("/", "_"): split for split, lines in names.items() for line in lines}
