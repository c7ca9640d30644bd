"""Every field and its default: the release's values (spec of the paper's authors) where data sets agree."""

from ml_collections import ConfigDict

from i2v_jax.config import Arguments
from i2v_jax.errors import UserError

# Per image size: strides of encoder and temporal discriminator down to 4x4, the decoder's last two up-samplings.
_ARCHITECTURES = {
    32: {"encoder": (1, 1, 2, 2), "temporal": (1, 1, 1, 2), "decoder": (1, 1)},
    64: {"encoder": (1, 2, 2, 2), "temporal": (1, 1, 2, 2), "decoder": (2, 1)},
    128: {"encoder": (2, 2, 2, 2), "temporal": (1, 2, 2, 2), "decoder": (2, 2)},
}

# The papers' ablations, by model. cINN, tables 2 and 4: z ~ N(0, 1) without a flow; a decoder without SPADE; z only at
# the decoder's entrance. Poke, table 3 and appendix D: dynamics at so many resolutions; a baseline of one resolution
# with three GRU layers; one update of all networks; without L_traj.
_ABLATIONS = {
    "cinn": ("no_cinn", "no_start_frame", "no_adain"),
    "poke": ("one_level", "two_levels", "three_levels", "rnn", "single_stage", "no_trajectory"),
}


def arguments(text: str | None, *, size: int, models: tuple[str, ...] = ("cinn",), **declared: object) -> Arguments:
    """The arguments of every config: `size`, `stage`, `model`, `ablation`, `runlocal`, and those that it adds itself.

    Of `models` ("cinn", "poke") the first is what the config trains unless `model` names another.

    Raises:
      UserError: for a size, a model or an ablation of the model that there is not.
    """
    parsed = Arguments(text, size=size, stage="", ablation="", runlocal=False, model=models[0], **declared)
    if parsed.size not in _ARCHITECTURES:
        raise UserError(f"size={parsed.size}: the networks exist for {', '.join(map(str, _ARCHITECTURES))} pixels")
    if parsed.model not in models:
        raise UserError(f"model={parsed.model}: this config has {', '.join(models)}")
    if parsed.ablation not in ("", *_ABLATIONS[parsed.model]):
        raise UserError(f"ablation={parsed.ablation}: choose {', '.join(_ABLATIONS[parsed.model])}")
    return parsed


def base(size: int, model: str = "cinn") -> ConfigDict:
    """The configuration of a model ("cinn" or "poke") for square frames of `size` pixels; a config changes the rest."""
    config = ConfigDict()
    config.seed = 0
    config.stage = ""  # one of `stages`; empty: all of them in order, skipping what is finished
    config.dtype = "float32"  # of the computation; "bfloat16" (parameters and losses stay float32), "float64"
    config.mesh = ConfigDict({"data": -1, "fsdp": 1, "fsdp_min_size": 2**16})  # devices per axis (-1: the rest)
    config.data = _data(size)
    config.train = ConfigDict(
        {
            "log_every": 20,  # steps
            "preview_every": 1000,
            "checkpoint_every": 1000,
            "evaluate_every": 1000,
            "evaluate_clips": 64,  # at most; 0: all of the split
            "evaluate_metric": "",  # fvd, lpips, psnr, ...: the best checkpoint is by it; "": by the task's own
            "keep": 2,  # latest checkpoints, beside the best one
            "previews": 4,  # clips in a preview
            "ema": 0.999,  # of the generator's parameters, used for sampling; 0: off
        }
    )
    if model == "poke":
        config.stages = ("poke",)
        config.poke = _poke()
        config.data.update(frames=11, flip=0.0)
        config.data.jitter.update(brightness=0.4, contrast=0.5, saturation=0.4, hue=0.15)
        config.data.poke = poke_data(size)
        return config
    config.stages = ("video_vae", "image_ae", "flow")
    config.control = "none"  # what the flow is told beside the start frame: "direction", "endpoint" or "poke"
    config.video_vae = _video_vae(size)
    config.image_ae = _image_ae(size)
    config.flow = _flow()
    return config


def _data(size: int) -> ConfigDict:
    return ConfigDict(
        {
            "name": "",
            "dir": "",  # what launch.prepare wrote
            "frames": 17,  # the start frame and the 16 that follow
            "frame_stride": 1,
            "size": size,
            "clips_per_video": {"train": 1, "eval": 1, "test": 1},
            "flip": 0.5,  # probability, one draw per clip
            "jitter": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0},
            "crop": "resize",  # squeeze the frame to a square as the release; or "center", "random"
            "workers": 2,  # processes that read and augment; 0: threads of this one
            "prefetch": 2,  # batches
            "num_clips": {"train": 0, "eval": 0, "test": 0},  # of embedded data sets
            "breeze": 0.0,  # of `plants`: the probability that a plant that is not pulled bends to the same side
        }
    )


def optimizer(**changes: object) -> ConfigDict:
    """The fields of an optimizer, the release's values but for `changes`."""
    fields = ConfigDict(
        {
            "name": "adam",  # or "amsgrad", or "muon"
            "learning_rate": 2e-4,
            "b1": 0.5,
            "b2": 0.9,
            "weight_decay": 0.0,  # added to the gradient (L2), not decoupled
            "clip_norm": 0.0,  # of the gradient of each network; 0: off
            "decay": 1.0,  # the rate is multiplied by it every `decay_epochs`
            "decay_epochs": 1,
            "milestones": (),  # or, if there are any, after each of these epochs
            "plateau": False,  # halve the rate when the reconstruction stops improving
        }
    )
    fields.update(changes)
    return fields


def _video_vae(size: int) -> ConfigDict:
    architecture = _ARCHITECTURES[size]
    return ConfigDict(
        {
            "batch_size": 10,
            "epochs": 60,
            "steps": 0,  # 0: as many as `epochs` are
            "adversarial_epoch": 1.0,  # adversarial terms start after it
            "encoder": {
                "z_dim": 64,
                "channels": (64, 128, 256, 512, 512),
                "stride_t": (1, 2, 2, 2),
                "stride_s": architecture["encoder"],
                "depth": "resnet18",
                "max_pool": False,
            },
            "decoder": {
                "z_dim": 64,
                "channel_factor": 64 if size == 64 else 32,
                "upsample_t": (2, 1),
                "upsample_s": architecture["decoder"],
                "spectral_norm": True,
                "use_start_frame": True,
                "use_adain": True,
            },
            "temporal_discriminator": {
                "channels": (64, 64, 128, 256, 512),
                "stride_t": (2, 2, 2, 2),
                "stride_s": architecture["temporal"],
                "spectral_norm": True,
            },
            "patch_discriminator": {"width": 64, "layers": 3, "norm": "actnorm", "spectral_norm": True},
            "loss": {
                "reconstruction": 10.0,
                "perceptual": 30.0,
                "kl": 1e-5,
                "spatial": 1.0,
                "temporal": 1.0,
                "feature_matching": 10.0,
                "gradient_penalty": 10.0,
                "window": 12,  # frames that the temporal critic sees
                "spatial_frames": 20,  # frames that the patch critic sees, drawn from the batch
                "perceptual_network": "lpips",  # "laplacian": no pretrained weights needed
            },
            "optimizer": optimizer(weight_decay=1e-5, decay=0.98),
        }
    )


def _image_ae(size: int) -> ConfigDict:
    return ConfigDict(
        {
            "batch_size": 30,
            "epochs": 100,
            "steps": 0,
            "adversarial_epoch": 20.0,
            "encoder": {"z_dim": 64 if size < 128 else 128, "norm": "in", "depth": "resnet50", "width": 64},
            "decoder": {"channels": 96, "mlp_width": 2000, "num_classes": 1000},
            "patch_discriminator": {"width": 64, "layers": 3, "norm": "actnorm", "spectral_norm": True},
            "loss": {"perceptual": 1.0, "kl": 1e-5, "adversarial": 1.0, "perceptual_network": "lpips"},
            "optimizer": optimizer(b1=0.9, b2=0.999, plateau=True),
        }
    )


def _flow() -> ConfigDict:
    return ConfigDict(
        {
            "batch_size": 50,
            "epochs": 31,
            "steps": 0,
            "encode_once": False,  # encode one epoch of clips before training, instead of each clip at each step
            "network": {
                "blocks": 20,
                "hidden": 512,
                "depth": 2,
                "scale": "exp",  # of the coupling, as the release; "sigmoid" and "softclamp" are bounded
                "exact_logdet": False,  # add the activation's log-determinant, which the release leaves out
            },
            "optimizer": optimizer(name="amsgrad", learning_rate=1e-5, b1=0.9, b2=0.99, decay=0.5, decay_epochs=6),
        }
    )


def poke_data(size: int) -> ConfigDict:
    """The fields of `data.poke`: how clips are poked and augmented (`input/poke_reader.py`)."""
    return ConfigDict(
        {
            "flow": "dis",  # estimated while reading; "stored": by launch.prepare; "exact": of embedded data sets
            "poke_size": 5 if size > 64 else 3,  # side of the square of the poke map that holds the displacement
            "fill": "value",  # the square has one displacement, or the "patch" of the flow
            "zeropoke_amount": 8,  # one poke in so many is on the background; 0: none
            "normalize": "none",  # "impulse": displacements are directions as long as the clip has motion
            "impulse_motion": 1.0,  # mean pixels per frame for which an impulse has length 1
            "min_motion": 0.5,  # pixels; clips in which nothing moves so far are not poked
            "object_weighting": False,  # every object equally likely, however many clips show it
            "color_probability": 0.8,  # of the jitter
            "geometry": {"probability": 0.8, "rotation": 15.0, "shift": 0.1},  # degrees, frame widths
        }
    )


def _poke() -> ConfigDict:
    return ConfigDict(
        {
            "batch_size": 10,
            "epochs": 1000,
            "steps": 0,
            "adversarial_step": 4000,  # adversarial terms start at it
            "single_stage": False,  # one update of all networks instead of autoencoder and dynamics in turns
            "model": {
                "features": 512,  # channels of the deepest object state
                "narrowest": 32,  # channels of the first convolution
                "min_spatial_size": 16,  # height and width of the deepest state
                "levels": 0,  # resolutions with dynamics, the deepest first; 0: all
                "bottleneck_cells": 1,  # GRU cells at the deepest state
                "image_norm": "instance",  # of encoder and decoder, as the release; "layer" where they are narrow
                "poke_norm": "instance",  # the release's, which hides how far a poke goes; "none" does not
                "poke_over_time": "constant",  # or "impulse", or "decay" within `poke_frames`
                "poke_frames": 10,
                "update_bias": 0.0,  # of the GRU's update gates before training; below 0 they hold still at first
                "bounded_states": False,  # the encoder's states through tanh, as all that a GRU makes
            },
            "temporal_discriminator": {"width": 32, "spectral_norm": True},
            "patch_discriminator": {"width": 64, "layers": 3, "norm": "instance", "spectral_norm": False},
            "loss": {
                "perceptual": 5.0,
                "latent": 0.1,
                "spatial": 1.0,
                "temporal": 5.0,
                "feature_matching": 10.0,
                "spatial_penalty": 1e-4,
                "temporal_penalty": 0.1,
                "spatial_frames": 16,  # frames that the patch critic sees, drawn from the batch
                "perceptual_network": "vgg19",  # or "vgg16"; "laplacian", "charbonnier": no pretrained weights needed
            },
            "optimizer": optimizer(learning_rate=1e-4, b1=0.9, b2=0.99, decay=0.3, milestones=(10, 25, 50)),
        }
    )


def finish(config: ConfigDict, parsed: Arguments) -> ConfigDict:
    """Applies `ablation`, `stage`, `runlocal` and the dotted overrides, last of all."""
    _ablate(config, parsed.ablation)
    if parsed.stage and parsed.stage not in config.stages:
        raise UserError(f"stage={parsed.stage}: this config has the stages {', '.join(config.stages)}")
    config.stage = parsed.stage
    if parsed.runlocal:
        _shrink(config)
    return parsed.apply(config)


def _ablate(config: ConfigDict, ablation: str) -> None:
    match ablation:
        case "no_cinn":  # nothing to tell the motion by, and nothing after the first stage
            config.control, config.stages = "none", ("video_vae",)
        case "no_start_frame":
            config.video_vae.decoder.use_start_frame = False
        case "no_adain":
            config.video_vae.decoder.use_adain = False
        case "one_level" | "two_levels" | "three_levels":
            config.poke.model.levels = ("one", "two", "three").index(ablation.partition("_")[0]) + 1
        case "rnn":
            config.poke.model.update(levels=1, bottleneck_cells=3)
        case "single_stage":
            config.poke.single_stage = True
        case "no_trajectory":
            config.poke.loss.latent = 0.0


def _shrink(config: ConfigDict) -> None:
    """`runlocal`: every stage in a few steps with narrow networks, to see on a laptop whether all of it works."""
    config.train.update(
        log_every=1, preview_every=4, checkpoint_every=4, evaluate_every=4, evaluate_clips=4, previews=2
    )
    config.data.workers = 0
    if config.data.num_clips.train:
        config.data.num_clips.update(train=16, eval=8, test=8)
    for stage in config.stages:
        config[stage].update(batch_size=4, steps=4)
    if "poke" in config:
        config.poke.adversarial_step = 2
        config.poke.model.update(features=16, narrowest=8)
        config.poke.temporal_discriminator.width = 4
        config.poke.patch_discriminator.width = 8
        return
    config.video_vae.adversarial_epoch = 0.0
    config.video_vae.encoder.update(channels=(16, 16, 16, 16, 16), z_dim=16)
    config.video_vae.decoder.update(channel_factor=4, z_dim=16)
    config.video_vae.temporal_discriminator.channels = (16, 16, 16, 16, 16)
    config.video_vae.patch_discriminator.width = 8
    config.image_ae.adversarial_epoch = 0.0
    config.image_ae.encoder.update(depth="resnet18", width=8)
    config.image_ae.decoder.update(channels=8, mlp_width=32, num_classes=16)
    config.image_ae.patch_discriminator.width = 8
    config.flow.network.update(blocks=4, hidden=32)
