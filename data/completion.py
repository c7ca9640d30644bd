"""Makes a data set of complete shards: their names, the indices, the metadata of TFDS, then the name of the folder."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2v_jax import files
from i2v_jax.data import raw, shards, sidecars, staging
from i2v_jax.data.preparation import Preparation
from i2v_jax.input.records import Index, Storage, index_name, shard_name
from i2v_jax.input.sources import SPLITS

_REPLACED = "replaced"  # the data set that is being replaced
_NAMES = "names.json"  # the name of each shard before it got that which it has in the data set


@dataclasses.dataclass(frozen=True)
class About:
    """What a data set says about itself beside its videos."""

    name: str
    version: str
    labels: Sequence[str]
    options: staging.StoreOptions
    preparation: Preparation


def take_back(staging_dir: Path, folder: Path) -> None:
    """Gives shards their old names that a run has named which did not finish, and a replaced data set its place."""
    if (staging_dir / _REPLACED).is_dir() and not folder.exists():
        os.rename(staging_dir / _REPLACED, folder)
    named = staging_dir / "complete"
    if (staging_dir / _NAMES).is_file():
        for new, old in json.loads((staging_dir / _NAMES).read_text()).items():
            for there, before in ((named / new, staging_dir / old), *_about(named / new, staging_dir / old)):
                if there.is_file():
                    os.rename(there, before)
    shutil.rmtree(named, ignore_errors=True)
    for unfinished in staging_dir.glob(".*.tmp"):
        unfinished.unlink()


def complete(
    staging_dir: Path,
    folder: Path,
    about: About,
    planned: Sequence[shards.Shard],
    written: Sequence[shards.Written],
    skipped: Sequence[raw.Skipped],
) -> None:
    """Moves the shards into `folder`, which appears when all else is in it, and removes `staging_dir`.

    A data set that is there already is replaced; its videos keep their flow and masks.
    """
    used = {
        split: [(s, w) for s, w in zip(planned, written, strict=True) if s.split == split and w.records]
        for split in SPLITS
    }
    used = {split: pairs for split, pairs in used.items() if pairs}
    names = {
        shard_name(about.name, split, number, len(pairs)): shard.path.name
        for split, pairs in used.items()
        for number, (shard, _) in enumerate(pairs)
    }
    files.write_text(staging_dir / _NAMES, json.dumps(names))
    made = staging_dir / "complete"
    made.mkdir()
    for new, old in names.items():
        for before, there in ((staging_dir / old, made / new), *_about(staging_dir / old, made / new)):
            os.rename(before, there)
    contents = {split: [there for _, there in pairs] for split, pairs in used.items()}
    videos = [video for parts in contents.values() for part in parts for video in part.videos]
    about = dataclasses.replace(about, labels=[n for n in about.labels if all(n in video.labels for video in videos)])
    for split, parts in contents.items():
        _index(parts, about.labels).save(made / index_name(split))
    _write_metadata(made, about, contents)
    files.write_text(made / "skipped.json", json.dumps([dataclasses.asdict(item) for item in skipped], indent=2))
    about.preparation.save(made)
    if folder.exists():
        sidecars.carry_over(folder, made)
        os.rename(folder, staging_dir / _REPLACED)
    os.rename(made, folder)
    shutil.rmtree(staging_dir)


def _about(*paths: Path) -> tuple[tuple[Path, ...]]:
    """Returns the files about two shards, for what is done to both."""
    return (tuple(map(shards.about, paths)),)


def _index(parts: Sequence[shards.Written], labels: Sequence[str]) -> Index:
    videos = [video for part in parts for video in part.videos]
    return Index(
        shards=np.asarray([part.records for part in parts], np.int64),
        records=np.asarray([video.records for video in videos], np.int64),
        sizes=np.asarray([video.size for video in videos], np.int64),
        labels={name: [np.asarray(video.labels[name], np.float32) for video in videos] for name in labels},
        streams=[video.stream for video in videos if video.stream is not None],
    )


def _write_metadata(folder: Path, about: About, contents: dict[str, list[shards.Written]]) -> None:
    """Writes `metadata.json`, and what TFDS needs to read the records."""
    import tensorflow_datasets as tfds

    videos = [video for parts in contents.values() for part in parts for video in part.videos]
    stored = Storage(
        store=about.options.store,
        frame_format=about.options.frame_format,
        jpeg_quality=about.options.jpeg_quality,
        max_size=about.options.max_size,
        size=about.options.size,
        resize=about.options.resize,
        every=about.options.every,
        fps=about.options.fps,
        encodings=tuple(sorted({encoding for video in videos for encoding in video.encodings})),
        scaled=any(video.scaled for video in videos),
    )
    listing = {split: _listing(parts) for split, parts in contents.items()}
    metadata = {"stored": dataclasses.asdict(stored), "labels": list(about.labels), "videos": listing}
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=_features(about.options.store),
        split_infos=[
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[part.records for part in parts],
                num_bytes=sum(
                    path.stat().st_size for path in folder.glob(f"{about.name}-{split}.array_record-*-of-?????")
                ),
            )
            for split, parts in contents.items()
        ],
        version=about.version,
        check_data=False,
        description=f"Videos for image-to-video synthesis ({about.name}): {stored}.",
        metadata=tfds.core.MetadataDict(metadata),
        disable_shuffling=True,
    )


def _features(store: str) -> dict[str, Any]:
    """Returns the features of a record."""
    import tensorflow_datasets as tfds

    common = {"video": tfds.features.Text(), "number": np.int64}
    if store == "video":
        return {**common, "packets": tfds.features.Sequence(tfds.features.Tensor(shape=(), dtype=np.bytes_))}
    return {**common, "frame": tfds.features.Image(shape=(None, None, 3))}


def _listing(parts: Sequence[shards.Written]) -> dict[str, Any]:
    videos = [video for part in parts for video in part.videos]
    return {
        "names": [video.name for video in videos],
        "num_frames": [video.num_frames for video in videos],
        "objects": [video.object for video in videos],
        "sha256": hashlib.sha256("".join(video.sha256 for video in videos).encode()).hexdigest(),
    }
