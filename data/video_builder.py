"""The base of all builders, and the preparation of a data set: find, divide, convert in parallel, complete."""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from i2v_jax.data import completion, raw, shards, staging
from i2v_jax.errors import UserError

VERSION = "2.0.0"  # of the files (`input/records.py`)
EVERY_PRESET = ("default", "release", "paper")


class VideoBuilder:
    """The base class of builders. Subclasses find the videos (`find`) and label them (`LABELS`, `read_labels`).

    `name` is the value of `data.name`, by default the name of the class in lower case.
    """

    name: ClassVar[str]
    LABELS: ClassVar[tuple[str, ...]] = ()
    EVAL_IS_TEST: ClassVar[tuple[str, ...]] = ()  # the presets with which a missing eval or test split is the other one

    def __init_subclass__(cls) -> None:
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        """Returns the videos below `raw_dir`, and the files there that are not videos."""
        return raw.find_videos(raw_dir)

    @classmethod
    def leave_out(cls, video: raw.RawVideo, preset: str) -> str:
        """Returns why a preset leaves a video out; empty if it does not."""
        return ""

    @classmethod
    def read_labels(cls, video: raw.RawVideo) -> dict[str, Any]:
        """Returns the values of `LABELS`, in the shapes that `input/labels.py` says are stored.

        If a video lacks a label, no clip of the data set has it.
        """
        return {}


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of preparing a data set."""

    folder: Path
    num_videos: dict[str, int]
    skipped: list[raw.Skipped]
    notes: Mapping[str, int]  # what was done to how many videos: words that complete "3 videos ..."

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {count}" for split, count in self.num_videos.items())
        lines = [f"{self.folder}: {sum(self.num_videos.values())} videos ({counts}), {len(self.skipped)} skipped"]
        for words, count in sorted(self.notes.items(), key=lambda item: -item[1]):
            lines.append(f"  {count} video{'s' if count > 1 else ''} {words}")
        reasons = Counter(item.reason for item in self.skipped)
        lines += [f"  skipped {count}: {reason}" for reason, count in reasons.most_common(10)]
        if len(reasons) > 10:
            lines.append(f"  and {len(reasons) - 10} further reasons")
        if self.skipped:
            lines.append(f"  each file: {self.folder / 'skipped.json'}")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How to hold out splits that the data set does not have."""

    eval_fraction: float
    test_fraction: float
    seed: int


def prepared_folder(builder_class: type[VideoBuilder], data_dir: Path) -> Path:
    """Returns the folder of the prepared data set."""
    return data_dir / builder_class.name / VERSION


def is_prepared(folder: Path) -> bool:
    """Returns whether a folder contains a complete data set, which gets its name last."""
    return (folder / "dataset_info.json").is_file()


def prepare(
    builder_class: type[VideoBuilder],
    raw_dir: Path,
    data_dir: Path,
    *,
    options: staging.StoreOptions,
    split_options: SplitOptions,
    workers: int,
    preset: str = "default",
) -> Summary:
    """Converts every video and completes the data set. Continues an interrupted run.

    The files do not depend on `workers`, the number of processes, or on interruptions.

    Raises:
        UserError: there are no videos, none can be used, or the disk is full; shards that are complete are kept.
    """
    folder = prepared_folder(builder_class, data_dir)
    staging_dir = folder.parent / "staging"
    with staging.writing_to(data_dir):
        staging_dir.mkdir(parents=True, exist_ok=True)
        completion.take_back(staging_dir)
        found, skipped = find(builder_class, raw_dir, preset)
        divide = functools.partial(_divide, options=split_options, eval_is_test=preset in builder_class.EVAL_IS_TEST)
        planned, written = _convert_all(found, divide, options, builder_class.read_labels, staging_dir, workers)
        skipped += {item.path: item for shard in written for item in shard.skipped}.values()
        _require_some(written, skipped, raw_dir)
        about = completion.About(builder_class.name, VERSION, builder_class.LABELS, options)
        completion.complete(staging_dir, folder, about, planned, written, skipped)
    num_videos = Counter(shard.split for shard, there in zip(planned, written, strict=True) for _ in there.videos)
    notes = Counter(words for there in written for video in there.videos for words in video.notes)
    return Summary(folder, dict(num_videos), skipped, dict(notes))


def find(builder_class: type[VideoBuilder], raw_dir: Path, preset: str) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
    """Returns the videos that a preset has, each once, and what is skipped.

    Raises:
        UserError: `raw_dir` is not a folder of this data set.
    """
    found, skipped = builder_class.find(raw_dir)
    reasons = {video.name: builder_class.leave_out(video, preset) for video in found}
    left_out = [raw.Skipped(name, reason) for name, reason in reasons.items() if reason]
    videos, duplicates = raw.without_duplicates(video for video in found if not reasons[video.name])
    return videos, [*skipped, *left_out, *duplicates]


def _divide(videos: Sequence[raw.RawVideo], options: SplitOptions, eval_is_test: bool) -> dict[str, list[raw.RawVideo]]:
    return raw.divide(videos, options.eval_fraction, options.test_fraction, options.seed, eval_is_test)


def _convert_all(
    found: Sequence[raw.RawVideo],
    divide: Callable[[Sequence[raw.RawVideo]], dict[str, list[raw.RawVideo]]],
    options: staging.StoreOptions,
    read_labels: shards.ReadLabels,
    folder: Path,
    workers: int,
) -> tuple[list[shards.Shard], list[shards.Written]]:
    """Writes the shards of all splits to `folder`.

    Videos that cannot be used are known only afterwards. They are no reason to hold out fewer: the others are divided
    again, which copies those that change their split. Whole parts of damaged videos join them.
    """
    found = list(found)
    divided: set[str] = set()  # names of damaged videos
    unusable: dict[str, set[str]] = {}  # names by split: where they were found out, so that their shards are the same
    while True:
        places = {video.name: place for place, video in enumerate(found)}
        left_out = set().union(*unusable.values())
        usable = [video for video in found if video.name not in left_out]
        splits = divide(usable)
        for split, names in unusable.items():
            chosen = [*splits.get(split, ()), *(found[places[name]] for name in names)]
            splits[split] = sorted(chosen, key=lambda video: places[video.name])
        planned = shards.plan(splits, found, options, read_labels, folder)
        shards.write_all(planned, workers)
        written = [shards.Written.load(shard.about) for shard in planned]
        before = {split: set(names) for split, names in unusable.items()}
        for shard, there in zip(planned, written, strict=True):
            if there.skipped:
                unusable.setdefault(shard.split, set()).update(item.path for item in there.skipped)
        if unusable == before:
            return planned, written
        parts = {name: ranges for there in written for name, ranges in there.whole.items() if name not in divided}
        divided |= parts.keys()
        found = [part for video in found for part in (video, *video.whole_parts(parts.get(video.name, ())))]


def _require_some(written: Sequence[shards.Written], skipped: list[raw.Skipped], raw_dir: Path) -> None:
    if any(shard.videos for shard in written):
        return
    if not skipped:
        raise UserError(
            f"{raw_dir} has no videos and no folders of frames: give --raw_dir a folder with videos",
            "raw_dir",
            str(raw_dir),
        )
    example = skipped[0]
    raise UserError(
        f"{raw_dir}: none of {len(skipped)} videos can be used, for example {example.path}: {example.reason}",
        "raw_dir",
        str(raw_dir),
    )
