"""The base of all builders: staging with progress, splits, and one TFDS record per video.

The records contain encoded frames or the encoded video; `i2v_jax.input.sources.RecordSource` reads them. The metadata
of the data set lists the name and length of every video in the order of the records.
"""

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from i2v_jax import files
from i2v_jax.data import raw, staging
from i2v_jax.errors import UserError
from i2v_jax.input.labels import get_label

_VERSION = "1.0.0"
EVERY_PRESET = ("default", "release", "paper")


class VideoBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """The base class of builders. Subclasses find the videos (`find`) and label them (`LABELS`, `read_labels`)."""

    VERSION = tfds.core.Version(_VERSION)
    LABELS: ClassVar[tuple[str, ...]] = ()
    EVAL_IS_TEST: ClassVar[tuple[str, ...]] = ()  # the presets with which a missing eval or test split is the other one

    def __init__(self, *, splits: dict[str, list[staging.StagedVideo]], stored_as: str, **kwargs: Any):
        self._splits, self._stored_as = splits, stored_as
        videos = [video for chosen in splits.values() for video in chosen]
        self._labels = tuple(name for name in self.LABELS if all(name in video.labels for video in videos))
        super().__init__(file_format="array_record", **kwargs)

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

    def _info(self) -> tfds.core.DatasetInfo:
        store = (
            {
                "video": tfds.features.Tensor(shape=(), dtype=np.bytes_),
                "times": tfds.features.Tensor(shape=(None,), dtype=np.int64),
                "keyframes": tfds.features.Tensor(shape=(None,), dtype=np.int64),
            }
            if self._stored_as == "video"
            else {"frames": tfds.features.Sequence(tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"))}
        )
        features = {
            "name": tfds.features.Text(),
            "size": tfds.features.Tensor(shape=(2,), dtype=np.int64),
            **store,
            **{name: tfds.features.Tensor(shape=get_label(name).stored, dtype=np.float32) for name in self._labels},
        }
        listing = {
            split: {
                "names": [v.raw.name for v in chosen],
                "num_frames": [v.num_frames for v in chosen],
                "objects": [v.raw.object or v.raw.name for v in chosen],
            }
            for split, chosen in self._splits.items()
        }
        metadata = {"stored_as": self._stored_as, "labels": list(self._labels), "videos": listing}
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Videos for image-to-video synthesis ({self.name}), frames stored as {self._stored_as}.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(metadata),
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded: users bring their own files
        return {split: self._generate_examples(split) for split in self._splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for key, video in enumerate(self._splits[split]):
            staged = video.example()
            example = {name: staged[name] for name in ("name", "size")}
            example |= {name: staged["labels"][name] for name in self._labels}
            if self._stored_as == "video":
                example |= {name: staged[name] for name in ("video", "times", "keyframes")}
            else:
                example["frames"] = [io.BytesIO(frame) for frame in staged["frames"]]
            yield key, example


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of preparing a data set."""

    folder: Path
    num_videos: dict[str, int]
    skipped: list[raw.Skipped]

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {count}" for split, count in self.num_videos.items())
        lines = [f"{self.folder}: {sum(self.num_videos.values())} videos ({counts}), {len(self.skipped)} skipped"]
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
    return data_dir / builder_class.name / _VERSION


def is_prepared(folder: Path) -> bool:
    """Returns whether a folder contains a complete data set: TFDS gives the folder its name last."""
    return (folder / "dataset_info.json").is_file()


def prepare(
    builder_class: type[VideoBuilder],
    raw_dir: Path,
    data_dir: Path,
    *,
    options: staging.StoreOptions,
    split_options: SplitOptions,
    threads: int,
    preset: str = "default",
) -> Summary:
    """Stages every video, then writes the TFDS data set. Continues an interrupted run.

    Raises:
        UserError: there are no videos, none can be used, or the disk is full; staged videos are kept.
    """
    folder = prepared_folder(builder_class, data_dir)
    staging_dir = folder.parent / "staging"
    with staging.writing_to(data_dir):
        staging_dir.mkdir(parents=True, exist_ok=True)
        found, skipped = find(builder_class, raw_dir, preset)
        staged, unusable = _stage_all(found, options, builder_class, staging_dir, threads)
        skipped = [*skipped, *unusable]
        _require_some(staged, skipped, raw_dir)
        splits = _divide(staged, split_options, preset in builder_class.EVAL_IS_TEST)
        builder = builder_class(splits=splits, stored_as=options.store, data_dir=str(data_dir))
        _write(builder, staged, folder)
        files.write_text(folder / "skipped.json", json.dumps([dataclasses.asdict(item) for item in skipped], indent=2))
        shutil.rmtree(staging_dir)
    return Summary(folder, {split: len(chosen) for split, chosen in splits.items()}, skipped)


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


def _stage_all(
    found: Sequence[raw.RawVideo],
    options: staging.StoreOptions,
    builder_class: type[VideoBuilder],
    folder: Path,
    threads: int,
) -> tuple[list[staging.StagedVideo], list[raw.Skipped]]:
    staged, skipped = [], []

    def attempt(video: raw.RawVideo) -> staging.StagedVideo | raw.Skipped:
        try:
            return staging.stage(video, options, builder_class.read_labels, folder)
        except UserError as error:
            return raw.Skipped(video.name, str(error).removeprefix(f"{video.path}: "))
        except OSError as error:
            if error.errno in staging.DISK_FULL:
                raise
            return raw.Skipped(video.name, f"cannot be read: {error.strerror or error}")

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for result in tqdm(pool.map(attempt, found), total=len(found), unit="video", desc="reading"):
                if isinstance(result, raw.Skipped):
                    skipped.append(result)
                else:
                    staged.append(result)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return staged, skipped


def _require_some(staged: list[staging.StagedVideo], skipped: list[raw.Skipped], raw_dir: Path) -> None:
    if staged:
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


def _divide(
    staged: list[staging.StagedVideo], options: SplitOptions, eval_is_test: bool
) -> dict[str, list[staging.StagedVideo]]:
    by_name = {video.raw.name: video for video in staged}
    divided = raw.divide(
        [video.raw for video in staged], options.eval_fraction, options.test_fraction, options.seed, eval_is_test
    )
    return {split: [by_name[video.name] for video in chosen] for split, chosen in divided.items()}


def _write(builder: VideoBuilder, staged: list[staging.StagedVideo], folder: Path) -> None:
    """Writes the records to a temporary folder, which TFDS renames when they are complete."""
    for unfinished in folder.parent.glob("incomplete.*"):
        shutil.rmtree(unfinished)
    needed = 2 * sum(
        video.path.stat().st_size for video in staged
    )  # TFDS gathers the examples before it writes the shards
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise UserError(
            f"{folder.parent}: writing the records needs {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free: "
            "free some space and run the same command again, which continues",
            "data_dir",
            str(folder.parent),
        )
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints about a download that does not happen
        builder.download_and_prepare(download_dir=folder.parent / "staging")
