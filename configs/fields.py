"""Every field that stages share: its default, what it means, and the values it may have.

`stage_fields.py` has those of single stages.

Defaults are the release's where its data sets agree. `may_change` marks fields that may differ when training continues
in a work directory: how long, how often and where to train, but never what is learned.
"""

import numbers

from i2v_jax.configs.field_kinds import Fields, count, field, free, probability, weight

SELECTIONS = ("latest", "best", "release")


def run(size: int) -> Fields:
    """Returns the fields that all stages share."""
    return {
        "seed": field(0, "of initialization, data order and augmentation", at_least=0, at_most=2**32 - 1),
        "select": field(
            "latest",
            "checkpoints of earlier stages to train the flow with, and of the last one to use",
            choices=SELECTIONS,
            stage="flow",
        ),
        "stage": free("", "one of `stages`; empty: all of them in order, skipping those that are finished"),
        "plugins": free((), "modules to import, which register data sets, metrics, controls or stages", items=str),
        "compile_cache": free(
            "", "folder or bucket of compiled programs for all hosts; workdir: in RUN/compiled; empty: this machine's"
        ),
        "dtype": field("float32", "of the computation", choices=("float32", "bfloat16", "float64")),
        "mesh": {
            "replica": free(1, "slices or nodes with slow links between them, which share no state", at_least=-1),
            "data": free(-1, "devices that share a batch; -1: all remaining devices", at_least=-1),
            "fsdp": free(1, "devices that share parameters", at_least=-1),
            "fsdp_min_size": free(2**16, "size of the smallest array to share, in elements", at_least=0),
            "shard_optimizer": free(False, "share moments and averages among `data`, too (ZeRO-1)"),
            "rules": free((), "PATTERN=AXES, before those of size: see docs/scaling.md", items=str),
        },
        "data": data(size),
        "train": {
            "device_prefetch": free(1, "batches that wait on the devices, besides one on its way", at_least=0),
            "log_every": free(20, "steps", at_least=1),
            "preview_every": free(1000, "steps", at_least=1),
            "checkpoint_every": free(1000, "steps", at_least=1),
            "evaluate_every": free(1000, "steps; 0: once per epoch", at_least=0),
            "evaluate_clips": free(64, "at most; 0: all clips of the split", at_least=0),
            "evaluate_metric": free("", "selects the best checkpoint (fvd, lpips, psnr, ...); empty: the task's own"),
            "keep": free(2, "latest checkpoints, in addition to the best one", at_least=1),
            "previews": free(4, "clips in a preview", at_least=1),
            "hang_seconds": free(3600, "without any progress end the process with an error; 0: never", at_least=0),
            "ema": probability(0.999, "of the parameters that sampling uses; 0: off"),
        },
    }


def data(size: int) -> Fields:
    """Returns the fields of `data`."""
    return {
        "name": field("", "the data set"),
        "dir": free("", "the folder that launch.prepare wrote"),
        "mixture": {
            "names": field((), "more data sets to train on, besides `name`", items=str),
            "dirs": free((), "the folders that launch.prepare wrote for them; none: `dir`", items=str),
            "weights": field((), "of `name` and of each of them in training; none: as many clips as each has",
                              items=numbers.Real, at_least=0),
        },
        "frames": count(17, "including the start frame"),
        "frame_stride": count(1, "every n-th frame of a video"),
        "size": count(size, "height and width in pixels"),
        "clips_per_video": {
            split: field(1, "0: one for each frame, from which it starts", at_least=0)
            for split in ("train", "eval", "test")
        },
        "splits": {
            split: field(split, "prepared splits that it consists of, joined by +", choices=choices)
            for split, choices in (
                ("train", ("train", "train+eval")), ("eval", ("eval", "test")), ("test", ("test", "eval"))
            )
        },
        "flip": probability(0.5, "of mirroring a clip"),
        "jitter": {
            **{name: weight(0.0) for name in ("brightness", "contrast", "saturation")},
            "hue": weight(0.0, "largest turn in either direction, of a full circle"),
            "hue_forward": weight(0.0, "largest turn from red to green, if it is more than `hue`"),
            "kind": field("affine", "what the numbers mean: see docs/data.md", choices=("affine", "kornia")),
        },
        "crop": field("resize", "resize: to a square, as the release", choices=("resize", "center", "random")),
        "crop_margin": field(
            0, "pixels: training frames are resized to `size` + this, and a random square is cut out", at_least=0
        ),
        "resize": field("area", "area: averaged; release: bilinear without averaging", choices=("area", "release")),
        "eval_starts": field("even", "where held-out clips start in training", choices=("first", "even", "random")),
        "repeats": field(True, "videos count as often as the authors' lists have them (iPER: free motion twice)"),
        "workers": free(2, "processes that read and augment; 0: threads", at_least=0),
        "prefetch": free(2, "batches", at_least=0),
        "on_error": free("stop", "at a video that cannot be read; skip: others replace it", choices=("stop", "skip")),
        "num_clips": {split: field(0, "of embedded data sets", at_least=0) for split in ("train", "eval", "test")},
        "breeze": probability(0.0, "of `plants`: probability that a plant that is not poked bends to the same side"),
        "classified": field(False, "whether a video's folder is its class"),
    }  # fmt: skip


def poke_data(size: int) -> Fields:
    """Returns the fields of `data.poke`: how clips are poked and augmented (`input/clip_pokes.py`)."""
    return {
        "flow": field(
            "dis", "estimated while reading; stored by launch.prepare; or exact, of embedded data sets",
            choices=("dis", "stored", "exact"),
        ),
        "poke_size": count(5 if size > 64 else 3, "side of the square of the poke map that holds the displacement"),
        "flow_frames": field(0, "frames from the start frame to the end of a poke's flow; 0: to the last", at_least=0),
        "fill": field("value", "patch: the flow instead of one displacement", choices=("value", "patch")),
        "zeropoke_amount": field(8, "one poke in n is on the background; 0: none", at_least=0),
        "mask": field(
            "none", "of what is poked, where the data set does not know it: found by grabcut while reading; or stored",
            choices=("none", "grabcut", "stored"),
        ),
        "patch": field(
            "none", "of the clips that the losses see: a rectangle around what moves by its flow or mask; none: all",
            choices=("none", "flow", "mask"),
        ),
        "mask_size": field(0, "of the frame in which grabcut finds it; 0: as the network sees it", at_least=0),
        "normalize": field("none", "impulse: divided by `largest_flow`, so at most 1", choices=("none", "impulse")),
        "largest_flow": weight(0.0, "frame widths; 0: of the data set, as launch.prepare stored it with the flow"),
        "min_motion": weight(0.5, "pixels; clips that move less are not poked"),
        "object_weighting": field(False, "draw every object with equal probability, however many clips show it"),
        "sequence": {
            "shortest": field(0, "frames after the first; lengths up to `frames` vary by batch; 0: off", at_least=0),
            "longest_weight": weight(20.0, "of the longest clips; each shorter length has a weight of 1"),
            "background_weight": weight(10.0, "of batches of pokes of the background"),
            "amplitude_cutoff": probability(0.0, "motion from which clips have all lengths, in shares of the largest"),
        },
        "color_probability": probability(0.8, "of the jitter"),
        "geometry": {
            "probability": probability(0.8),
            "rotation": weight(15.0, "degrees"),
            "shift": probability(0.05, "frame widths"),
            "whole_pixels": field(False, "shifts are integers, and pixels are not interpolated"),
        },
    }  # fmt: skip
