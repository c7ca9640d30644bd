"""The modules that a configuration describes."""

from typing import Any

import flax.linen as nn
from ml_collections import ConfigDict

from i2v_jax.config import Field
from i2v_jax.errors import UserError
from i2v_jax.models import poke_model
from i2v_jax.models.biggan import SIZES, smallest_code
from i2v_jax.models.discriminators import (
    FrameTemporalDiscriminator,
    PatchDiscriminator,
    PatchTemporalDiscriminator,
    TemporalDiscriminator,
)
from i2v_jax.models.flow import ConditionalFlow
from i2v_jax.models.image_autoencoder import ImageDecoder, ImageEncoder
from i2v_jax.models.resnet3d import VideoEncoder
from i2v_jax.models.video_decoder import VideoDecoder
from i2v_jax.pretrained.networks.i3d import I3D
from i2v_jax.tasks import control

Modules = dict[str, nn.Module]  # network name -> module


def video_vae(config: ConfigDict, dtype: Any) -> Modules:
    vae = config.video_vae
    if vae.encoder.z_dim != vae.decoder.z_dim:
        raise UserError(
            f"invalid value for video_vae.decoder.z_dim: {vae.decoder.z_dim} (must be that of video_vae.encoder.z_dim, "
            f"{vae.encoder.z_dim})",
            "video_vae.decoder.z_dim",
            vae.decoder.z_dim,
        )
    return {
        "encoder": VideoEncoder(**vae.encoder, remat=vae.remat == "all", dtype=dtype),
        "decoder": VideoDecoder(**vae.decoder, remat=vae.remat != "none", dtype=dtype),
        "temporal_discriminator": TemporalDiscriminator(
            **vae.temporal_discriminator, remat=vae.remat == "all", dtype=dtype
        ),
        "patch_discriminator": PatchDiscriminator(**vae.patch_discriminator, dtype=dtype),
    }


def image_ae(config: ConfigDict, dtype: Any) -> Modules:
    image, size = config.image_ae, config.data.size
    Field(64, choices=tuple(SIZES)).check("data.size", size)
    Field(64, at_least=smallest_code(size)).check("image_ae.encoder.z_dim", image.encoder.z_dim)
    return {
        "encoder": ImageEncoder(**image.encoder, remat=image.remat == "all", dtype=dtype),
        "decoder": ImageDecoder(
            z_dim=image.encoder.z_dim, size=size, **image.decoder, remat=image.remat != "none", dtype=dtype
        ),
        "patch_discriminator": PatchDiscriminator(**image.patch_discriminator, dtype=dtype),
    }


def flow(config: ConfigDict, dtype: Any) -> Modules:
    z_dim, controlled_by = config.video_vae.encoder.z_dim, control.get(config.control)
    if z_dim % 2:
        raise UserError(
            f"invalid value for video_vae.encoder.z_dim: {z_dim} (must be even: the flow splits z into halves)",
            "video_vae.encoder.z_dim",
            z_dim,
        )
    controlled_by.check(config.data)
    has_control = controlled_by.width > 0
    return {"flow": ConditionalFlow(z_dim=z_dim, control=has_control, **config.flow.network, dtype=dtype)}


def classifier(config: ConfigDict, dtype: Any) -> Modules:
    return {"classifier": I3D(**config.classifier.network, remat=config.classifier.remat == "all", dtype=dtype)}


def poke(config: ConfigDict, dtype: Any) -> Modules:
    stage, normalize = config.poke, config.data.poke.normalize
    in_sequences = config.data.poke.sequence.shortest > 0  # the release pokes at every step then
    if (stage.model.poke_over_time == "impulse") != (normalize == "impulse") and not in_sequences:
        raise UserError(
            f"poke.model.poke_over_time={stage.model.poke_over_time} does not fit data.poke.normalize={normalize}: set "
            "both to impulse, or neither",
            "poke.model.poke_over_time",
            stage.model.poke_over_time,
        )
    temporal = dict(stage.temporal_discriminator)
    kind = {"patches": PatchTemporalDiscriminator, "frames": FrameTemporalDiscriminator}[temporal.pop("scores")]
    return {
        **poke_model.build(size=config.data.size, **stage.model, remat=stage.remat, dtype=dtype),
        "temporal_discriminator": kind(**temporal, remat=stage.remat == "all", dtype=dtype),
        "patch_discriminator": PatchDiscriminator(**stage.patch_discriminator, dtype=dtype),
    }
