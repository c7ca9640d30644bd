"""The fields of each stage: its networks, losses and optimizers, as `fields.py` declares those that stages share."""

import numbers
from typing import Any

from i2v_jax.config import Config, Field, Overrides
from i2v_jax.configs.field_kinds import Fields, count, field, free, probability, weight

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


def optimizer(**defaults: object) -> Fields:
    """Returns the fields of an optimizer, with the release's values except for `defaults`."""
    values = {
        "name": "adam", "learning_rate": 2e-4, "b1": 0.5, "b2": 0.9, "weight_decay": 0.0, "clip_norm": 0.0,
        "decay": 1.0, "decay_epochs": 1, "milestones": (), "plateau": False, "scaling": "none", "mu_dtype": "",
        **defaults,
    }  # fmt: skip
    return {
        "name": field(values["name"], choices=OPTIMIZERS),
        "learning_rate": weight(values["learning_rate"]),
        "b1": probability(values["b1"]),
        "b2": probability(values["b2"]),
        "weight_decay": weight(values["weight_decay"], "added to the gradient (L2), not decoupled"),
        "clip_norm": weight(values["clip_norm"], "of the gradient of each network; 0: off"),
        "decay": weight(values["decay"], "factor of the learning rate after every `decay_epochs`"),
        "decay_epochs": count(values["decay_epochs"]),
        "milestones": field(values["milestones"], "epochs after which to decay, instead of every `decay_epochs`",
                             items=numbers.Real, at_least=0),
        "plateau": field(values["plateau"], "halve the rate when the reconstruction stops improving"),
        "plateau_last": field(False, "judge that by the last batch of an epoch, not by its mean"),
        "scaling": field(values["scaling"], "of the rate with batch_size / reference_batch", choices=RATE_RULES),
        "mu_dtype": field(values["mu_dtype"], "of the first moment; empty: that of the parameters",
                           choices=("", "bfloat16")),
    }  # fmt: skip


def stage(name: str, data: Config, *, batch_size: int, epochs: int, **fields: Any) -> Fields:
    """Returns the fields of a training stage: those of every stage, and `fields`."""
    return {
        "batch_size": count(batch_size, "clips, over all devices"),
        "reference_batch": field(0, "the batch size that the other fields are for, by default that of the config file",
                                  at_least=0),
        "accumulate": free(1, "parts of a batch that follow each other, to save memory", at_least=1),
        "drop_last": field(True, "drop the clips of an epoch that do not fill a batch; else others fill it"),
        "epochs": free(epochs, at_least=1),
        "steps": free(0, "0: the number of steps of `epochs`", at_least=0),
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
        adversarial_epoch=weight(1.0, "adversarial terms start after this epoch"),
        encoder={
            "z_dim": count(64),
            "channels": count((64, 128, 256, 512, 512)),
            "stride_t": count((1, 2, 2, 2)),
            "stride_s": count(architecture["encoder"]),
            "depth": field("resnet18", choices=VIDEO_RESNETS),
            "max_pool": False,
        },
        decoder={
            "z_dim": count(64),
            "channel_factor": count(64 if size == 64 else 32),
            "upsample_t": count((2, 1)),
            "upsample_s": count(architecture["decoder"]),
            "spectral_norm": True,
            "use_start_frame": True,
            "use_adain": True,
        },
        temporal_discriminator={
            "channels": count((64, 64, 128, 256, 512)),
            "stride_t": count((2, 2, 2, 2)),
            "stride_s": count(architecture["temporal"]),
            "spectral_norm": True,
        },
        patch_discriminator=_patch_discriminator("actnorm", spectral_norm=True),
        loss={
            "reconstruction": weight(10.0),
            "perceptual": weight(30.0),
            "kl": weight(1e-5),
            "spatial": weight(1.0),
            "temporal": weight(1.0),
            "feature_matching": weight(10.0),
            "gradient_penalty": weight(10.0),
            "window": count(12, "frames that the temporal discriminator sees"),
            "spatial_frames": count(20, "frames of a reference batch that the patch discriminator sees"),
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
        adversarial_epoch=weight(20.0, "adversarial terms start after this epoch"),
        encoder={
            "z_dim": count(64 if size < 128 else 128),
            "norm": field("in", choices=("in", "bn")),
            "depth": field("resnet50", choices=RESNETS),
            "width": count(64),
        },
        decoder={"channels": count(96), "mlp_width": count(2000), "num_classes": count(1000)},
        patch_discriminator=_patch_discriminator("actnorm", spectral_norm=True),
        loss={
            "perceptual": weight(1.0),
            "kl": weight(1e-5),
            "adversarial": weight(1.0),
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
        encode_once=field(False, "encode the clips of one epoch before training, instead of each clip at each step"),
        network={
            "blocks": count(20),
            "hidden": count(512),
            "depth": field(2, at_least=0),
            "scale": field(
                "exp", "of the coupling: exp as the release, the others are bounded",
                choices=("exp", "sigmoid", "softclamp"),
            ),
            "exact_logdet": field(False, "add the activation's log-determinant, which the release omits"),
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
        adversarial_step=field(4000, "first step with adversarial terms, of reference batches", at_least=0),
        single_stage=field(False, "update all networks together instead of autoencoder and dynamics in turn"),
        static_decoder_decays=field(True, "whether the decoder's rate decays in static updates; in the release, not"),
        static_epochs=field(0, "static updates stop after this epoch; 0: never", at_least=0),
        model=_poke_model(),
        temporal_discriminator={
            "scores": field("patches", "patches of the whole clip, or single frames", choices=("patches", "frames")),
            "width": count(32),
            "spectral_norm": True,
        },
        patch_discriminator=_patch_discriminator("instance", spectral_norm=False),
        loss={
            "perceptual": weight(5.0),
            "latent": weight(0.1),
            "spatial": weight(1.0),
            "temporal": weight(5.0),
            "feature_matching": weight(10.0),
            "spatial_penalty": weight(1e-4),
            "temporal_penalty": weight(0.1),
            "window": field(0, "frames in a row that the temporal discriminator sees; 0: all", at_least=0),
            "spatial_frames": count(16, "frames of a reference batch that the patch discriminator sees"),
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
            "classes": count(18),
            "pool_frames": count(2),
            "eps": weight(1e-5),
            "dropout": probability(0.5),
            "width_divisor": count(1, "all widths are divided by it"),
        },
        optimizer=optimizer(learning_rate=1e-4, b1=0.9, b2=0.999, decay=0.9),
    )


def _poke_model() -> Fields:
    return {
        "features": count(512, "channels of the deepest object state"),
        "narrowest": count(32, "channels of the first convolution"),
        "min_spatial_size": count(16, "height and width of the deepest state"),
        "levels": field(0, "resolutions with dynamics, the deepest first; 0: all", at_least=0),
        "bottleneck_cells": count(1, "GRU cells at the deepest state"),
        "image_norm": field("instance", "of encoder and decoder; use layer if they are narrow", choices=POKE_NORMS),
        "poke_norm": field("instance", "instance removes the length of pokes; none keeps it", choices=POKE_NORMS),
        "poke_over_time": field(
            "constant",
            "how strong the poke is in each frame; decay: over `poke_frames`",
            choices=("constant", "impulse", "decay"),
        ),
        "poke_frames": count(10),
        "update_bias": field(0.0, "initial bias of the GRU's update gates; below 0 states change little at first"),
        "bounded_states": field(False, "apply tanh to the encoder's states, like a GRU to its own"),
        "copies": field(False, "frames may copy pixels of the start frame, from where the decoder says"),
    }


def _patch_discriminator(norm: str, spectral_norm: bool) -> Fields:
    return {
        "width": count(64),
        "layers": count(3),
        "norm": field(norm, choices=PATCH_NORMS),
        "spectral_norm": spectral_norm,
    }


def _remat(*networks: str) -> Field:
    return free("none", "whose blocks the backward pass computes again, to save memory", choices=("none", *networks))


def _perceptual_network(default: str) -> Field:
    return Field(default, "laplacian and charbonnier need no pretrained weights", choices=PERCEPTUAL_NETWORKS)
