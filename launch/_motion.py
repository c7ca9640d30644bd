"""What `prepare` stores for the poke model beside a data set, and shows of it: optical flow, masks, pokes."""

import json
from pathlib import Path

from absl import flags

from i2v_jax import media
from i2v_jax.data.flows import ESTIMATORS, FlowOptions, store_flows, stored_options, write_statistics
from i2v_jax.data.masks import store_masks, stored_size
from i2v_jax.data.preview import preview
from i2v_jax.errors import UserError

FLOW = flags.DEFINE_string(
    "flow",
    "",
    "Store optical flow for the poke model: 'dis' estimates it, and so does the network 'gmflow', whose weights "
    "launch.weights fetches; a folder holds it as VIDEO/FIRST_SECOND.npy or .flo; MODULE:FUNCTION is a function of two "
    "frames.",
)
FLOW_DISTANCE = flags.DEFINE_multi_integer(
    "flow_distance", [10], "Frames between the first and the last frame of a clip.", 1
)
FLOW_SIZE = flags.DEFINE_integer("flow_size", 128, "Shorter side of stored flows in pixels, at most.", 8)
FLOW_INPUT_SIZE = flags.DEFINE_integer(
    "flow_input_size", 0, "Shorter side of the frames that flow is estimated from, at most; 0: --flow_size.", 0
)
FLOW_MOTION = flags.DEFINE_float(
    "flow_motion", 0.008, "Skip videos in which nothing moves further than this fraction of the shorter side.", 0.0
)
PREVIEW = flags.DEFINE_bool(
    "preview", False, "Write a picture of flow, masks and pokes of every split, over the first --flow_distance."
)
MASKS = flags.DEFINE_enum("masks", "", ["", "grabcut"], "Store masks of an upright object in the middle of each frame.")
MASK_SIZE = flags.DEFINE_integer("mask_size", 128, "Shorter side of stored masks in pixels, at most.", 8)


def requested() -> bool:
    """Returns whether anything is to be stored or shown."""
    return bool(FLOW.value or MASKS.value or PREVIEW.value)


def store(folder: Path, threads: int, update: bool = False) -> None:
    """Stores and shows what the flags request for a prepared data set.

    Args:
        folder: of the data set.
        threads: how many videos to read at the same time.
        update: whether flows and masks that are stored are completed, too, if videos were added.

    Raises:
        UserError: no video has a flow, there are files with other options, or the disk is full.
    """
    splits = list(json.loads((folder / "metadata.json").read_text())["videos"])
    wanted, mask_size = _requested_flows(), MASK_SIZE.value if MASKS.value else 0
    if update:
        distances = {options.distance for options in wanted}
        wanted += [options for options in stored_options(folder) if options.distance not in distances]
        mask_size = mask_size or stored_size(folder)
    for options in wanted:
        _store_flows(folder, splits, options, threads)
    if mask_size:
        print(*(store_masks(folder, split, mask_size, threads) for split in splits), sep="\n")
    if PREVIEW.value:
        for split in splits:
            path = folder / f"preview_{split}.png"
            media.write_png(path, preview(folder, split, FLOW_DISTANCE.value[0], grabcut=bool(MASKS.value)))
            print(f"wrote {path}")


def _requested_flows() -> list[FlowOptions]:
    if not FLOW.value:
        return []
    folder_of_files = Path(FLOW.value).expanduser()
    estimated = FLOW.value in ESTIMATORS or (":" in FLOW.value and not folder_of_files.is_dir())
    given, estimator = (None, FLOW.value) if estimated else (folder_of_files, "dis")
    return [
        FlowOptions(distance, FLOW_SIZE.value, FLOW_MOTION.value, given, FLOW_INPUT_SIZE.value, estimator)
        for distance in FLOW_DISTANCE.value
    ]


def _store_flows(folder: Path, splits: list[str], options: FlowOptions, threads: int) -> None:
    """Stores the flow of every split over one distance. Raises UserError if no video has a flow."""
    summaries = [store_flows(folder, split, options, threads) for split in splits]
    print(*summaries, sep="\n")
    write_statistics(folder, options.distance)
    if not any(summary.stored for summary in summaries):
        example = summaries[0].skipped[0]
        raise UserError(
            f"no video has a flow over {options.distance} frames, for example {example.path}: {example.reason}",
            "flow_distance",
            options.distance,
        )
