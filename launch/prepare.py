"""Prepares a data set: `python -m launch.prepare --dataset=folder --raw_dir=DIR --data_dir=OUT`.

Videos and folders of frames become TFDS ArrayRecord files with train, eval and test splits. A killed run continues
when started again. With `--flow=dis` (or a folder of flow files) the optical flow that the poke model is trained with
is stored as well, also for a data set that is prepared already.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging

from i2v_jax.data.bair.builder import Bair
from i2v_jax.data.dtdb.builder import DtdbClouds, DtdbFire, DtdbVegetation, DtdbWaterfall
from i2v_jax.data.flows import FlowOptions, store_flows
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.human36m.builder import Human36M
from i2v_jax.data.iper.builder import Iper
from i2v_jax.data.landscape.builder import Landscape
from i2v_jax.data.poking_plants.builder import PokingPlants
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.taichi.builder import Taichi
from i2v_jax.data.video_builder import SplitOptions, is_prepared, prepare, prepared_folder
from i2v_jax.errors import UserError
from i2v_jax.launch._app import run

_CINN = (Landscape, Bair, Iper, DtdbClouds, DtdbFire, DtdbVegetation, DtdbWaterfall)
_POKE = (PokingPlants, Taichi, Human36M)
BUILDERS = {builder.name: builder for builder in (Folder, *_CINN, *_POKE)}

DATASET = flags.DEFINE_enum(
    "dataset", None, sorted(BUILDERS), "Which data set the raw files are; `folder` is any.", required=True
)
RAW_DIR = flags.DEFINE_string("raw_dir", None, "Folder with the files as downloaded.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder for prepared data sets (data.dir of a config).", required=True)
STORE = flags.DEFINE_enum(
    "store", "frames", ["frames", "video"], "Store JPEG frames, or the mp4, mov, webm and mkv files as they are."
)
JPEG_QUALITY = flags.DEFINE_integer("jpeg_quality", 95, "Of frames that have to be encoded.", 1, 100)
MAX_SIZE = flags.DEFINE_integer(
    "max_size", 0, "Scale stored frames down until the shorter side has this many pixels; 0: never.", 0
)
MIN_FRAMES = flags.DEFINE_integer("min_frames", 17, "Leave out shorter videos.", 2)
EVAL_FRACTION = flags.DEFINE_float("eval_fraction", 0.1, "Held out of train when the data has no eval split.", 0.0, 0.5)
TEST_FRACTION = flags.DEFINE_float("test_fraction", 0.1, "Held out of train when the data has no test split.", 0.0, 0.5)
SPLIT_SEED = flags.DEFINE_integer("split_seed", 0, "Which videos are held out.", 0)
FLOW = flags.DEFINE_string(
    "flow",
    "",
    "Store optical flow for the poke model: 'dis' estimates it, a folder holds it as VIDEO/FIRST_SECOND.npy or .flo.",
)
FLOW_DISTANCE = flags.DEFINE_multi_integer(
    "flow_distance", [10], "Frames from the first to the last of a clip; once for each step width.", 1
)
FLOW_SIZE = flags.DEFINE_integer("flow_size", 128, "The shorter side of a stored flow at most.", 8)
FLOW_MOTION = flags.DEFINE_float(
    "flow_motion", 0.008, "Leave out videos in which nothing moves further; share of the frame's shorter side.", 0.0
)
THREADS = flags.DEFINE_integer("threads", os.cpu_count() or 1, "Videos that are read at the same time.", 1)


def main(argv: Sequence[str]) -> None:
    del argv
    if STORE.value == "video" and MAX_SIZE.value:
        raise UserError("--max_size scales frames: it cannot be used with --store=video, which keeps files as they are")
    builder, data_dir = BUILDERS[DATASET.value], Path(DATA_DIR.value).expanduser()
    folder = prepared_folder(builder, data_dir)
    if is_prepared(folder):
        print(f"{folder} is prepared already: delete it to prepare it again")
    else:
        logging.set_verbosity(logging.WARNING)
        summary = prepare(
            builder,
            Path(RAW_DIR.value).expanduser(),
            data_dir,
            options=StoreOptions(STORE.value, JPEG_QUALITY.value, MAX_SIZE.value, MIN_FRAMES.value),
            split_options=SplitOptions(EVAL_FRACTION.value, TEST_FRACTION.value, SPLIT_SEED.value),
            threads=THREADS.value,
        )
        print(summary)
    if FLOW.value:
        _store_flows(folder)


def _store_flows(folder: Path) -> None:
    """Every split at every distance.

    Raises:
        UserError: not one video has a flow.
    """
    given = None if FLOW.value == "dis" else Path(FLOW.value).expanduser()
    splits = json.loads((folder / "metadata.json").read_text())["videos"]
    for distance in FLOW_DISTANCE.value:
        options = FlowOptions(distance, FLOW_SIZE.value, FLOW_MOTION.value, given)
        summaries = [store_flows(folder, split, options, THREADS.value) for split in splits]
        print(*summaries, sep="\n")
        if not any(summary.stored for summary in summaries):
            example = summaries[0].skipped[0]
            raise UserError(f"no video has a flow over {distance} frames, for example {example.path}: {example.reason}")


if __name__ == "__main__":
    run(main)
