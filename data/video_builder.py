"""The base of all builders, and the preparation of a data set: find, divide, convert in parallel, complete."""

import dataclasses
import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from i2v_jax.data import completion, duplicates, raw, shards, staging
from i2v_jax.data.preparation import Preparation, Splits, files_digest, keep_splits, require_storage
from i2v_jax.errors import UserError

VERSION = "2.0.0"  # of the files (`input/records.py`)
_SHOWN = 5  # videos that are there several times, in a summary
EVERY_PRESET = ("default", "release", "paper")


class VideoBuilder:
    """The base class of builders. Subclasses find the videos (`find`) and label them (`LABELS`, `read_labels`).

    `name` is the value of `data.name`, by default the name of the class in lower case.
    """

    name: ClassVar[str]
    LABELS: ClassVar[tuple[str, ...]] = ()
    EVAL_IS_TEST: ClassVar[tuple[str, ...]] = ()  # the presets with which a missing eval or test split is the other one
    RELEASED_AS: ClassVar[str] = "auto"  # the format of frames that the release decodes from videos

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
    num_videos: dict[str, int]  # of each split; a video may be in two
    num_frames: int
    num_bytes: int
    skipped: list[raw.Skipped]
    notes: Mapping[str, int]  # what was done to how many videos: words that complete "3 videos ..."
    same: Sequence[duplicates.Same]

    def __str__(self) -> str:
        total = sum(self.num_videos.values())
        counts = ", ".join(f"{split} {count}" for split, count in self.num_videos.items())
        lines = [
            f"{self.folder}: {total} video{'s' * (total != 1)} ({counts}), {self.num_frames} frames in "
            f"{self.num_bytes / 1e6:.1f} MB, {len(self.skipped)} skipped"
        ]
        for words, count in sorted(self.notes.items(), key=lambda item: -item[1]):
            lines.append(f"  {count} video{'s' if count > 1 else ''} {words}")
        if self.same:
            lines.append(f"  {duplicates.summary(self.same)}")
            lines += [f"    {one}" for one in self.same[:_SHOWN]]
            if len(self.same) > _SHOWN:
                lines.append(f"    and {len(self.same) - _SHOWN} more, on the data card")
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
    update: bool = False,
) -> Summary | None:
    """Converts every video and completes the data set. Continues an interrupted run.

    The files do not depend on `workers`, the number of processes, or on interruptions.

    Args:
        builder_class: of the data set.
        raw_dir: the folder of the raw files.
        data_dir: the folder of data sets.
        options: how videos are stored, unless `preset` says it.
        split_options: which are held out.
        workers: number of processes.
        preset: of `VideoBuilder.leave_out` and `VideoBuilder.EVAL_IS_TEST`. With "release", frames are scaled and
            encoded as the release does.
        update: whether new and changed videos may be added to a data set that is complete.

    Returns:
        None if the data set was prepared from the same files with the same options.

    Raises:
        UserError: there are no videos, none can be used, or the disk is full; shards that are complete are kept. Or the
            data set was prepared with other options or, without `update`, from other files. Or `data_dir` is in
            `raw_dir`.
    """
    if data_dir.resolve().is_relative_to(raw_dir.resolve()):  # what is written would be taken for raw files
        raise UserError(
            f"--data_dir={data_dir} is in --raw_dir={raw_dir}: give another folder", "data_dir", str(data_dir)
        )
    folder = prepared_folder(builder_class, data_dir)
    staging_dir = folder.parent / "staging"
    with staging.writing_to(data_dir):
        completion.take_back(staging_dir, folder)
        asked = _asked(raw_dir, options, split_options, preset)
        earlier = Preparation.load(folder) if is_prepared(folder) else None
        if preset == "release":
            options = _as_released(builder_class, options)
        if earlier:
            earlier.require_options(asked, folder)
            require_storage(options, folder, preset)
            if earlier.files == asked.files:
                return None
        found, skipped = find(builder_class, raw_dir, preset)
        asked = asked.of(found)
        if earlier and not earlier.require_videos(asked, folder, update):
            return None
        staging_dir.mkdir(parents=True, exist_ok=True)
        divide = functools.partial(_divide, options=split_options, eval_is_test=preset in builder_class.EVAL_IS_TEST)
        if earlier:
            divide = functools.partial(keep_splits, previous=_names(folder), divide=divide)
        plan = functools.partial(
            shards.plan,
            options=options,
            read_labels=builder_class.read_labels,
            folder=staging_dir,
            earlier=folder if earlier else None,
        )
        planned, written = _convert_all(found, divide, plan, workers)
        skipped += {item.path: item for shard in written for item in shard.skipped}.values()
        _require_some(written, skipped, raw_dir)
        about = completion.About(builder_class.name, VERSION, builder_class.LABELS, options, asked)
        completion.complete(staging_dir, folder, about, planned, written, skipped)
    return _summary(folder, planned, written, skipped)


def _summary(
    folder: Path, planned: Sequence[shards.Shard], written: Sequence[shards.Written], skipped: list[raw.Skipped]
) -> Summary:
    videos = _with_splits(planned, written)
    return Summary(
        folder,
        num_videos=dict(Counter(split for split, _ in videos)),
        num_frames=sum(video.num_frames for _, video in videos),
        num_bytes=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        skipped=skipped,
        notes=dict(Counter(note for _, video in videos for note in video.notes)),
        same=duplicates.find(videos),
    )


def _as_released(builder_class: type[VideoBuilder], options: staging.StoreOptions) -> staging.StoreOptions:
    frame_format = builder_class.RELEASED_AS if options.frame_format == "auto" else options.frame_format
    return dataclasses.replace(options, resize="release", frame_format=frame_format)


def _asked(raw_dir: Path, options: staging.StoreOptions, split_options: SplitOptions, preset: str) -> Preparation:
    """Returns the options by the names of their flags, and the digest of the raw files."""
    named = dataclasses.asdict(options) | dataclasses.asdict(split_options) | {"preset": preset}
    named["split_seed"] = named.pop("seed")
    del named["resize"]  # the preset decides it
    return Preparation(named, files_digest(raw_dir))


def _names(folder: Path) -> dict[str, set[str]]:
    """Returns the names of the videos in each split of a data set."""
    listing = json.loads((folder / "metadata.json").read_text())["videos"]
    return {split: set(videos["names"]) for split, videos in listing.items()}


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


def _divide(videos: Sequence[raw.RawVideo], options: SplitOptions, eval_is_test: bool) -> Splits:
    return raw.divide(videos, options.eval_fraction, options.test_fraction, options.seed, eval_is_test)


def _convert_all(
    found: Sequence[raw.RawVideo],
    divide: Callable[[Sequence[raw.RawVideo]], Splits],
    plan: Callable[[Splits, Sequence[raw.RawVideo]], list[shards.Shard]],
    workers: int,
) -> tuple[list[shards.Shard], list[shards.Written]]:
    """Writes the shards of all splits.

    Videos that cannot be used are known only afterwards. They are no reason to hold out fewer: the others are divided
    again, which copies those that change their split. Whole parts of damaged videos join them. So it is with videos
    that are the same under different names: no split is held out that has one of them without the others, unless there
    is nothing else to hold out.
    """
    found = list(found)
    divided: set[str] = set()  # names of damaged videos
    unusable: dict[str, set[str]] = {}  # names by split: where they were found out, so that their shards are the same
    same: list[duplicates.Same] = []
    while True:
        places = {video.name: place for place, video in enumerate(found)}
        left_out = set().union(*unusable.values())
        usable = [video for video in found if video.name not in left_out]
        together, splits = divide(duplicates.grouped(usable, same)), divide(usable)
        if together.keys() == splits.keys():
            splits = together
        for split, names in unusable.items():
            chosen = [*splits.get(split, ()), *(found[places[name]] for name in names)]
            splits[split] = sorted(chosen, key=lambda video: places[video.name])
        if len(once := _once(splits)) < len(splits):  # so that a video of two splits is converted once
            shards.write_all(plan(once, found), workers)
        planned = plan(splits, found)
        shards.write_all(planned, workers)
        written = [shards.Written.load(shard.about) for shard in planned]
        before = {split: set(names) for split, names in unusable.items()}, same
        same = duplicates.find(_with_splits(planned, written))
        for shard, there in zip(planned, written, strict=True):
            if there.skipped:
                unusable.setdefault(shard.split, set()).update(item.path for item in there.skipped)
        if (unusable, same) == before:
            return planned, written
        parts = {name: ranges for there in written for name, ranges in there.intact.items() if name not in divided}
        divided |= parts.keys()
        found = [part for video in found for part in (video, *video.intact_parts(parts.get(video.name, ())))]


def _with_splits(
    planned: Sequence[shards.Shard], written: Sequence[shards.Written]
) -> list[tuple[str, staging.StoredVideo]]:
    return [(shard.split, video) for shard, there in zip(planned, written, strict=True) for video in there.videos]


def _once(splits: Splits) -> Splits:
    """Returns the splits without those that have the videos of an earlier one."""
    names = [{video.name for video in videos} for videos in splits.values()]
    return {
        split: videos for number, (split, videos) in enumerate(splits.items()) if names[number] not in names[:number]
    }


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
