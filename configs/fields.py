"""Every field: its default, what it means, and the values it may have.

Defaults are the release's where its data sets agree. `may_change` marks fields that may differ when training continues
in a work directory: how long, how often and where to train, but never what is learned.
"""

import functools
import numbers
from typing import Any

from i2v_jax.config import Config, Field, Overrides

Fields = dict[str, Any]  # name -> Field, or the fields of a section

_field = Field
_free = functools.partial(Field, may_change=True)
_probability = functools.partial(Field, at_least=0.0, at_most=1.0)
_weight = functools.partial(Field, at_least=0.0)
_count = functools.partial(Field, at_least=1)

# Per image size: strides of encoder and temporal discriminator down to 4x4, the decoder's last two up-samplings.
ARCHITECTURES = {
    32: {"encoder": (1, 1, 2, 2), "temporal": (1, 1, 1, 2), "decoder": (1, 1)},
    64: {"encoder": (1, 2, 2, 2), "temporal": (1, 1, 2, 2), "decoder": (2, 1)},
    128: {"encoder": (2, 2, 2, 2), "temporal": (1, 2, 2, 2), "decoder": (2, 2)},
}
RESNETS = ("resnet18", "resnet34", "resnet50")
VIDEO_RESNETS = (*RESNETS, "resnet101")
PATCH_NORMS = ("actnorm", "instance")
POKE_NORMS = ("instance", "layer", "none")
PERCEPTUAL_NETWORKS = ("lpips", "vgg19", "vgg16", "laplacian", "charbonnier")
OPTIMIZERS = ("adam", "amsgrad", "muon")
RATE_RULES = ("none", "linear", "sqrt")
SELECTIONS = ("latest", "best", "release")


def run(size: int) -> Fields:
    """Returns the fields that all stages share."""
    return {
        "seed": _field(0, "of initialization, data order and augmentation"),
        "select": _field(
            "latest",
            "checkpoints of earlier stages to train the flow with, and of the last one to use",
            choices=SELECTIONS,
            stage="flow",
        ),
        "stage": _free("", "one of `stages`; empty: all of them in order, skipping those that are finished"),
        "plugins": _free((), "modules to import, which register data sets, metrics, controls or stages", items=str),
        "compile_cache": _free(
            "", "folder or bucket of compiled programs for all hosts; workdir: in RUN/compiled; empty: this machine's"
        ),
        "dtype": _field("float32", "of the computation", choices=("float32", "bfloat16", "float64")),
        "mesh": {
            "replica": _free(1, "slices or nodes with slow links between them, which share no state", at_least=-1),
            "data": _free(-1, "devices that share a batch; -1: all remaining devices", at_least=-1),
            "fsdp": _free(1, "devices that share parameters", at_least=-1),
            "fsdp_min_size": _free(2**16, "size of the smallest array to share, in elements", at_least=0),
            "shard_optimizer": _free(False, "share moments and averages among `data`, too (ZeRO-1)"),
            "rules": _free((), "PATTERN=AXES, before those of size: see docs/scaling.md", items=str),
        },
        "data": data(size),
        "train": {
            "device_prefetch": _free(1, "batches that wait on the devices, besides one on its way", at_least=0),
            "log_every": _free(20, "steps", at_least=1),
            "preview_every": _free(1000, "steps", at_least=1),
            "checkpoint_every": _free(1000, "steps", at_least=1),
            "evaluate_every": _free(1000, "steps; 0: once per epoch", at_least=0),
            "evaluate_clips": _free(64, "at most; 0: all clips of the split", at_least=0),
            "evaluate_metric": _free("", "selects the best checkpoint (fvd, lpips, psnr, ...); empty: the task's own"),
            "keep": _free(2, "latest checkpoints, in addition to the best one", at_least=1),
            "previews": _free(4, "clips in a preview", at_least=1),
            "hang_seconds": _free(3600, "without any progress end the process with an error; 0: never", at_least=0),
            "ema": _probability(0.999, "of the parameters that sampling uses; 0: off"),
        },
    }


def data(size: int) -> Fields:
    """Returns the fields of `data`."""
    return {
        "name": _field("", "the data set"),
        "dir": _free("", "the folder that launch.prepare wrote"),
        "mixture": {
            "names": _field((), "more data sets to train on, besides `name`", items=str),
            "dirs": _free((), "the folders that launch.prepare wrote for them; none: `dir`", items=str),
            "weights": _field((), "of `name` and of each of them in training; none: as many clips as each has",
                              items=numbers.Real, at_least=0),
        },
        "frames": _count(17, "including the start frame"),
        "frame_stride": _count(1, "every n-th frame of a video"),
        "size": _count(size, "height and width in pixels"),
        "clips_per_video": {
            split: _field(1, "0: one for each frame, from which it starts", at_least=0)
            for split in ("train", "eval", "test")
        },
        "splits": {
            split: _field(split, "prepared splits that it consists of, joined by +", choices=choices)
            for split, choices in (
                ("train", ("train", "train+eval")), ("eval", ("eval", "test")), ("test", ("test", "eval"))
            )
        },
        "flip": _probability(0.5, "of mirroring a clip"),
        "jitter": {
            **{name: _weight(0.0) for name in ("brightness", "contrast", "saturation")},
            "hue": _weight(0.0, "largest turn in either direction, of a full circle"),
            "hue_forward": _weight(0.0, "largest turn from red to green, if it is more than `hue`"),
            "kind": _field("affine", "what the numbers mean: see docs/data.md", choices=("affine", "kornia")),
        },
        "crop": _field("resize", "resize: to a square, as the release", choices=("resize", "center", "random")),
        "crop_margin": _field(
            0, "pixels: training frames are resized to `size` + this, and a random square is cut out", at_least=0
        ),
        "resize": _field("area", "area: averaged; release: bilinear without averaging", choices=("area", "release")),
        "eval_starts": _field("even", "where held-out clips start in training", choices=("first", "even", "random")),
        "repeats": _field(True, "videos count as often as the authors' lists have them (iPER: free motion twice)"),
        "workers": _free(2, "processes that read and augment; 0: threads", at_least=0),
        "prefetch": _free(2, "batches", at_least=0),
        "on_error": _free("stop", "at a video that cannot be read; skip: others replace it", choices=("stop", "skip")),
        "num_clips": {split: _field(0, "of embedded data sets", at_least=0) for split in ("train", "eval", "test")},
        "breeze": _probability(0.0, "of `plants`: probability that a plant that is not poked bends to the same side"),
        "classified": _field(False, "whether a video's folder is its class"),
    }  # fmt: skip


def poke_data(size: int) -> Fields:
    """Returns the fields of `data.poke`: how clips are poked and augmented (`input/clip_pokes.py`)."""
    return {
        "flow": _field(
            "dis", "estimated while reading; stored by launch.prepare; or exact, of embedded data sets",
            choices=("dis", "stored", "exact"),
        ),
        "poke_size": _count(5 if size > 64 else 3, "side of the square of the poke map that holds the displacement"),
        "flow_frames": _field(0, "frames from the start frame to the end of a poke's flow; 0: to the last", at_least=0),
        "fill": _field("value", "patch: the flow instead of one displacement", choices=("value", "patch")),
        "zeropoke_amount": _field(8, "one poke in n is on the background; 0: none", at_least=0),
        "mask": _field(
            "none", "of what is poked, where the data set does not know it: found by grabcut while reading; or stored",
            choices=("none", "grabcut", "stored"),
        ),
        "patch": _field(
            "none", "of the clips that the losses see: a rectangle around what moves by its flow or mask; none: all",
            choices=("none", "flow", "mask"),
        ),
        "mask_size": _field(0, "of the frame in which grabcut finds it; 0: as the network sees it", at_least=0),
        "normalize": _field("none", "impulse: divided by `largest_flow`, so at most 1", choices=("none", "impulse")),
        "largest_flow": _weight(0.0, "frame widths; 0: of the data set, as launch.prepare stored it with the flow"),
        "min_motion": _weight(0.5, "pixels; clips that move less are not poked"),
        "object_weighting": _field(False, "draw every object with equal probability, however many clips show it"),
        "sequence": {
            "shortest": _field(0, "frames after the first; lengths up to `frames` vary by batch; 0: off", at_least=0),
            "longest_weight": _weight(20.0, "of the longest clips; each shorter length has a weight of 1"),
            "background_weight": _weight(10.0, "of batches of pokes of the background"),
            "amplitude_cutoff": _probability(0.0, "motion from which clips have all lengths, in shares of the largest"),
        },
        "color_probability": _probability(0.8, "of the jitter"),
        "geometry": {
            "probability": _probability(0.8),
            "rotation": _weight(15.0, "degrees"),
            "shift": _probability(0.05, "frame widths"),
            "whole_pixels": _field(False, "shifts are integers, and pixels are not interpolated"),
        },
    }  # fmt: skip


def optimizer(**defaults: object) -> Fields:
    """Returns the fields of an optimizer, with the release's values except for `defaults`."""
    values = {
        "name": "adam", "learning_rate": 2e-4, "b1": 0.5, "b2": 0.9, "weight_decay": 0.0, "clip_norm": 0.0,
        "decay": 1.0, "decay_epochs": 1, "milestones": (), "plateau": False, "scaling": "none", "mu_dtype": "",
        **defaults,
    }  # fmt: skip
    return {
        "name": _field(values["name"], choices=OPTIMIZERS),
        "learning_rate": _weight(values["learning_rate"]),
        "b1": _probability(values["b1"]),
        "b2": _probability(values["b2"]),
        "weight_decay": _weight(values["weight_decay"], "added to the gradient (L2), not decoupled"),
        "clip_norm": _weight(values["clip_norm"], "of the gradient of each network; 0: off"),
        "decay": _weight(values["decay"], "factor of the learning rate after every `decay_epochs`"),
        "decay_epochs": _count(values["decay_epochs"]),
        "milestones": _field(values["milestones"], "epochs after which to decay, instead of every `decay_epochs`",
                             items=numbers.Real, at_least=0),
        "plateau": _field(values["plateau"], "halve the rate when the reconstruction stops improving"),
        "plateau_last": _field(False, "judge that by the last batch of an epoch, not by its mean"),
        "scaling": _field(values["scaling"], "of the rate with batch_size / reference_batch", choices=RATE_RULES),
        "mu_dtype": _field(values["mu_dtype"], "of the first moment; empty: that of the parameters",
                           choices=("", "bfloat16")),
    }  # fmt: skip


def stage(name: str, data: Config, *, batch_size: int, epochs: int, **fields: Any) -> Fields:
    """Returns the fields of a training stage: those of every stage, and `fields`."""
    return {
        "batch_size": _count(batch_size, "clips, over all devices"),
        "reference_batch": _field(0, "the batch size that the other fields are for, by default that of the config file",
                                  at_least=0),
        "accumulate": _free(1, "parts of a batch that follow each other, to save memory", at_least=1),
        "drop_last": _field(True, "drop the clips of an epoch that do not fill a batch; else others fill it"),
        "epochs": _free(epochs, at_least=1),
        "steps": _free(0, "0: the number of steps of `epochs`", at_least=0),
        "data": Overrides(data, f"{name}.data", without=("size",)),  # all networks are built for one size
        **fields,
    }  # fmt: skip


def video_vae(size: int, data: Config) -> Fields:
    """Returns the fields of `video_vae`."""
    architecture = ARCHITECTURES[size]
    return stage(
        "video_vae",
        data,
        batch_size=10,
        epochs=60,
        remat=_remat("decoder", "all"),
        adversarial_epoch=_weight(1.0, "adversarial terms start after this epoch"),
        encoder={
            "z_dim": _count(64),
            "channels": _count((64, 128, 256, 512, 512)),
            "stride_t": _count((1, 2, 2, 2)),
            "stride_s": _count(architecture["encoder"]),
            "depth": _field("resnet18", choices=VIDEO_RESNETS),
            "max_pool": False,
        },
        decoder={
            "z_dim": _count(64),
            "channel_factor": _count(64 if size == 64 else 32),
            "upsample_t": _count((2, 1)),
            "upsample_s": _count(architecture["decoder"]),
            "spectral_norm": True,
            "use_start_frame": True,
            "use_adain": True,
        },
        temporal_discriminator={
            "channels": _count((64, 64, 128, 256, 512)),
            "stride_t": _count((2, 2, 2, 2)),
            "stride_s": _count(architecture["temporal"]),
            "spectral_norm": True,
        },
        patch_discriminator=_patch_discriminator("actnorm", spectral_norm=True),
        loss={
            "reconstruction": _weight(10.0),
            "perceptual": _weight(30.0),
            "kl": _weight(1e-5),
            "spatial": _weight(1.0),
            "temporal": _weight(1.0),
            "feature_matching": _weight(10.0),
            "gradient_penalty": _weight(10.0),
            "window": _count(12, "frames that the temporal discriminator sees"),
            "spatial_frames": _count(20, "frames of a reference batch that the patch discriminator sees"),
            "perceptual_network": _perceptual_network("lpips"),
        },
        optimizer=optimizer(weight_decay=1e-5, decay=0.98),
    )


def image_ae(size: int, data: Config) -> Fields:
    """Returns the fields of `image_ae`."""
    fields = stage(
        "image_ae",
        data,
        batch_size=30,
        epochs=100,
        remat=_remat("decoder", "all"),
        adversarial_epoch=_weight(20.0, "adversarial terms start after this epoch"),
        encoder={
            "z_dim": _count(64 if size < 128 else 128),
            "norm": _field("in", choices=("in", "bn")),
            "depth": _field("resnet50", choices=RESNETS),
            "width": _count(64),
        },
        decoder={"channels": _count(96), "mlp_width": _count(2000), "num_classes": _count(1000)},
        patch_discriminator=_patch_discriminator("actnorm", spectral_norm=True),
        loss={
            "perceptual": _weight(1.0),
            "kl": _weight(1e-5),
            "adversarial": _weight(1.0),
            "perceptual_network": _perceptual_network("lpips"),
        },
        optimizer=optimizer(b1=0.9, b2=0.999, plateau=True),
    )
    fields["data"].frames = 1  # it sees single frames
    return fields


def flow(data: Config) -> Fields:
    """Returns the fields of `flow`."""
    return stage(
        "flow",
        data,
        batch_size=50,
        epochs=31,
        encode_once=_field(False, "encode the clips of one epoch before training, instead of each clip at each step"),
        network={
            "blocks": _count(20),
            "hidden": _count(512),
            "depth": _field(2, at_least=0),
            "scale": _field(
                "exp", "of the coupling: exp as the release, the others are bounded",
                choices=("exp", "sigmoid", "softclamp"),
            ),
            "exact_logdet": _field(False, "add the activation's log-determinant, which the release omits"),
        },
        optimizer=optimizer(name="amsgrad", learning_rate=1e-5, b1=0.9, b2=0.99, decay=0.5, decay_epochs=6),
    )  # fmt: skip


def poke(data: Config) -> Fields:
    """Returns the fields of `poke`."""
    return stage(
        "poke",
        data,
        batch_size=10,
        epochs=1000,
        remat=_remat("decoder", "all"),
        adversarial_step=_field(4000, "first step with adversarial terms, of reference batches", at_least=0),
        single_stage=_field(False, "update all networks together instead of autoencoder and dynamics in turn"),
        static_decoder_decays=_field(True, "whether the decoder's rate decays in static updates; in the release, not"),
        static_epochs=_field(0, "static updates stop after this epoch; 0: never", at_least=0),
        model=_poke_model(),
        temporal_discriminator={
            "scores": _field("patches", "patches of the whole clip, or single frames", choices=("patches", "frames")),
            "width": _count(32),
            "spectral_norm": True,
        },
        patch_discriminator=_patch_discriminator("instance", spectral_norm=False),
        loss={
            "perceptual": _weight(5.0),
            "latent": _weight(0.1),
            "spatial": _weight(1.0),
            "temporal": _weight(5.0),
            "feature_matching": _weight(10.0),
            "spatial_penalty": _weight(1e-4),
            "temporal_penalty": _weight(0.1),
            "window": _field(0, "frames in a row that the temporal discriminator sees; 0: all", at_least=0),
            "spatial_frames": _count(16, "frames of a reference batch that the patch discriminator sees"),
            "perceptual_network": _perceptual_network("vgg19"),
        },
        optimizer=optimizer(learning_rate=1e-4, b1=0.9, b2=0.99, decay=0.3, milestones=(10, 25, 50)),
    )


def classifier(data: Config) -> Fields:
    """Returns the fields of `classifier`."""
    return stage(
        "classifier",
        data,
        batch_size=16,
        epochs=30,
        remat=_remat("all"),
        network={
            "classes": _count(18),
            "pool_frames": _count(2),
            "eps": _weight(1e-5),
            "dropout": _probability(0.5),
            "width_divisor": _count(1, "all widths are divided by it"),
        },
        optimizer=optimizer(learning_rate=1e-4, b1=0.9, b2=0.999, decay=0.9),
    )


def _poke_model() -> Fields:
    return {
        "features": _count(512, "channels of the deepest object state"),
        "narrowest": _count(32, "channels of the first convolution"),
        "min_spatial_size": _count(16, "height and width of the deepest state"),
        "levels": _field(0, "resolutions with dynamics, the deepest first; 0: all", at_least=0),
        "bottleneck_cells": _count(1, "GRU cells at the deepest state"),
        "image_norm": _field("instance", "of encoder and decoder; use layer if they are narrow", choices=POKE_NORMS),
        "poke_norm": _field("instance", "instance removes the length of pokes; none keeps it", choices=POKE_NORMS),
        "poke_over_time": _field(
            "constant",
            "how strong the poke is in each frame; decay: over `poke_frames`",
            choices=("constant", "impulse", "decay"),
        ),
        "poke_frames": _count(10),
        "update_bias": _field(0.0, "initial bias of the GRU's update gates; below 0 states change little at first"),
        "bounded_states": _field(False, "apply tanh to the encoder's states, like a GRU to its own"),
    }


def _patch_discriminator(norm: str, spectral_norm: bool) -> Fields:
    return {
        "width": _count(64),
        "layers": _count(3),
        "norm": _field(norm, choices=PATCH_NORMS),
        "spectral_norm": spectral_norm,
    }


def _remat(*networks: str) -> Field:
    return _free("none", "whose blocks the backward pass computes again, to save memory", choices=("none", *networks))


def _perceptual_network(default: str) -> Field:
    return Field(default, "laplacian and charbonnier need no pretrained weights", choices=PERCEPTUAL_NETWORKS)
