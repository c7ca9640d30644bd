"""Prepares a data set for training: converts videos and folders of frames into TFDS files.

    python -m launch.prepare --dataset=folder --raw_dir=CLIPS --data_dir=PREPARED
    python -m launch.prepare --dataset=taichi --raw_dir=RAW --data_dir=PREPARED --max_size=128 --flow=dis

--check compares the prepared data set with the published one, split by split.

Writes ArrayRecord files with the splits train, eval and test. The same command continues an interrupted run, and does
nothing when all is done. Other raw files or options are refused; --update adds new files. `card/index.html` in the
folder of the data set shows what it holds.

--flow=dis (or gmflow, or a folder of flow files) also stores the optical flow with which the poke model is trained, and
--masks what may be poked, even for a data set that is already prepared.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging

from i2v_jax.config_files import import_plugins
from i2v_jax.configs.common import PRESETS
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import compare
from i2v_jax.data.registry import DATA_SETS, data_set
from i2v_jax.data.staging import FRAME_FORMATS, StoreOptions
from i2v_jax.data.video_builder import SplitOptions, is_prepared, prepare, prepared_folder
from i2v_jax.errors import UserError
from i2v_jax.launch import _motion
from i2v_jax.launch._app import run
from i2v_jax.reports.data_card import FILE as CARD
from i2v_jax.reports.data_card import write_card

_NAMES = ", ".join(sorted(name for name, known in DATA_SETS.items() if isinstance(known, PreparedDataSet)))
DATASET = flags.DEFINE_string(
    "dataset", None, f"Data set of the raw files: {_NAMES}. `folder` takes any videos.", required=True
)
PLUGINS = flags.DEFINE_list("plugins", [], "Modules to import that register data sets.")
RAW_DIR = flags.DEFINE_string("raw_dir", None, "Folder of the raw files as they were downloaded.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder for prepared data sets: --config.data.dir in training.", required=True
)
STORE = flags.DEFINE_enum(
    "store", "frames", ["frames", "video"], "Store single frames, or the encoded video of the files."
)
FRAME_FORMAT = flags.DEFINE_enum(
    "frame_format",
    "auto",
    FRAME_FORMATS,
    "Format of frames that are encoded. JPEG and PNG files that are not scaled are stored as they are; auto encodes "
    "what arrives lossless as PNG and the rest as JPEG. webp is lossless.",
)
JPEG_QUALITY = flags.DEFINE_integer("jpeg_quality", 95, "JPEG quality of frames that are encoded.", 1, 100)
MAX_SIZE = flags.DEFINE_integer(
    "max_size", 0, "Scale frames down so that the shorter side has at most this many pixels; 0 keeps the size.", 0
)
FPS = flags.DEFINE_float("fps", 0, "Resample video files to this many frames per second; 0 stores each frame once.", 0)
EVERY = flags.DEFINE_integer("every", 1, "Store every n-th frame.", 1)
PRESET = flags.DEFINE_enum(
    "preset",
    PRESETS[0],
    PRESETS,
    "`release` leaves out the videos that the authors' release leaves out, and scales and encodes frames as it does.",
)
UPDATE = flags.DEFINE_bool(
    "update",
    False,
    "Add new and changed raw files to a data set that is prepared; the others keep their splits, flow and masks.",
)
CHECK = flags.DEFINE_bool(
    "check", False, "Compare the videos of every split with the published data set; the status is 1 if they differ."
)
SIZE = flags.DEFINE_integer("size", 0, "Squeeze frames to squares of this many pixels; 0 keeps their shape.", 0)
MIN_FRAMES = flags.DEFINE_integer("min_frames", 17, "Skip videos with fewer frames.", 2)
EVAL_FRACTION = flags.DEFINE_float(
    "eval_fraction", 0.1, "Fraction of the training videos to hold out if the data set has no eval split.", 0.0, 0.5
)
TEST_FRACTION = flags.DEFINE_float(
    "test_fraction", 0.1, "Fraction of the training videos to hold out if the data set has no test split.", 0.0, 0.5
)
SPLIT_SEED = flags.DEFINE_integer("split_seed", 0, "Random seed that decides which videos are held out.", 0)
WORKERS = flags.DEFINE_integer("workers", os.cpu_count() or 1, "Number of processes that convert videos.", 1)


def main(argv: Sequence[str]) -> None:
    del argv
    _require_compatible()
    import_plugins(PLUGINS.value)
    known, data_dir = _known(DATASET.value), Path(DATA_DIR.value).expanduser()
    folder = prepared_folder(known.builder, data_dir)
    new = False
    if RAW_DIR.value is not None:
        new = _prepare(known, Path(RAW_DIR.value).expanduser(), data_dir, folder)
    elif not (is_prepared(folder) and (CHECK.value or _motion.requested())):  # which need only what is prepared
        raise UserError("--raw_dir is missing: give it the folder of the raw files", "raw_dir")
    try:
        _motion.store(folder, WORKERS.value, update=UPDATE.value)
    finally:  # the card has what is stored, also if the rest cannot be
        if new or _motion.requested() or not (folder / CARD).is_file():
            print(f"data card: {write_card(folder, known)}")
    if CHECK.value:
        _check(known, folder)


def _require_compatible() -> None:
    """Raises UserError for options that exclude each other."""
    for name, value in (("max_size", MAX_SIZE.value), ("size", SIZE.value), ("fps", FPS.value)):
        if STORE.value == "video" and value:
            raise UserError(
                f"--{name} changes frames, but --store=video stores the original packets: leave out one of them",
                name,
                value,
            )
    if SIZE.value and MAX_SIZE.value:
        raise UserError("--size squeezes and --max_size scales: leave out one of them", "size", SIZE.value)


def _prepare(known: PreparedDataSet, raw_dir: Path, data_dir: Path, folder: Path) -> bool:
    """Prepares the data set and prints what was done. Returns whether anything was."""
    logging.set_verbosity(logging.WARNING)
    summary = prepare(
        known.builder,
        raw_dir,
        data_dir,
        options=StoreOptions(
            STORE.value,
            FRAME_FORMAT.value,
            JPEG_QUALITY.value,
            MAX_SIZE.value,
            MIN_FRAMES.value,
            EVERY.value,
            FPS.value,
            SIZE.value,
        ),
        split_options=SplitOptions(EVAL_FRACTION.value, TEST_FRACTION.value, SPLIT_SEED.value),
        workers=WORKERS.value,
        preset=PRESET.value,
        update=UPDATE.value,
    )
    if summary is None:
        print(f"{folder} is already prepared from these files: nothing to do")
    else:
        print(summary)
    return summary is not None


def _known(name: str) -> PreparedDataSet:
    """Returns a data set by name. Raises UserError if it needs no files."""
    known = data_set(name)
    if not isinstance(known, PreparedDataSet):
        raise UserError(
            f"data set {name!r} is drawn while training and needs no files: start training", "dataset", name
        )
    return known


def _check(known: PreparedDataSet, folder: Path) -> None:
    """Prints how the data set differs from the published one. Exits with status 1 if it does."""
    if not known.expected:
        raise UserError(f"it is not published what {known.name} has: leave out --check", "check", known.name)
    listing = json.loads((folder / "metadata.json").read_text())["videos"]
    rows = compare(known.expected, {split: videos["names"] for split, videos in listing.items()})
    print(f"{folder}, compared with the published data set:", *rows, sep="\n")
    if any(row.difference for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
