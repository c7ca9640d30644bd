"""The modules that a configuration describes."""

from collections.abc import Mapping
from typing import Any, get_args

import flax.linen as nn
from ml_collections import ConfigDict

from i2v_jax.config import check_at_least, check_choices
from i2v_jax.errors import UserError
from i2v_jax.models import bijectors, convgru, discriminators, poke_model, resnet2d, resnet3d
from i2v_jax.models.biggan import SIZES, smallest_code
from i2v_jax.models.discriminators import PatchDiscriminator, PatchTemporalDiscriminator, TemporalDiscriminator
from i2v_jax.models.flow import ConditionalFlow
from i2v_jax.models.image_autoencoder import ImageDecoder, ImageEncoder
from i2v_jax.models.resnet3d import VideoEncoder
from i2v_jax.models.video_decoder import VideoDecoder
from i2v_jax.pretrained.networks.i3d import I3D
from i2v_jax.tasks import control

Modules = dict[str, nn.Module]  # network name -> module

# Dotted name -> what it can be.
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "dtype": ("float32", "bfloat16", "float64"),
    "video_vae.encoder.depth": get_args(resnet3d.Depth),
    "video_vae.patch_discriminator.norm": get_args(discriminators.PatchNorm),
    "image_ae.encoder.depth": get_args(resnet2d.Depth),
    "image_ae.encoder.norm": get_args(resnet2d.Norm),
    "image_ae.patch_discriminator.norm": get_args(discriminators.PatchNorm),
    "flow.network.scale": get_args(bijectors.Scale),
    "poke.model.image_norm": get_args(poke_model.Norm),
    "poke.model.poke_norm": get_args(poke_model.Norm),
    "poke.model.poke_over_time": get_args(convgru.PokeOverTime),
    "poke.patch_discriminator.norm": get_args(discriminators.PatchNorm),
}
# Dotted name -> the smallest it can be.
_LEAST: Mapping[str, int] = {
    "video_vae.encoder.z_dim": 1,
    "video_vae.decoder.channel_factor": 1,
    "video_vae.patch_discriminator.width": 1,
    "video_vae.patch_discriminator.layers": 1,
    "image_ae.encoder.width": 1,
    "image_ae.decoder.channels": 1,
    "image_ae.decoder.mlp_width": 1,
    "image_ae.decoder.num_classes": 1,
    "image_ae.patch_discriminator.width": 1,
    "image_ae.patch_discriminator.layers": 1,
    "flow.network.blocks": 1,
    "flow.network.hidden": 1,
    "flow.network.depth": 0,
}


def check(config: ConfigDict) -> None:
    """Raises UserError for a field with an invalid value."""
    check_choices(config, _CHOICES)
    check_at_least(config, _LEAST)


def video_vae(config: ConfigDict, dtype: Any) -> Modules:
    vae = config.video_vae
    if vae.encoder.z_dim != vae.decoder.z_dim:
        raise UserError(
            f"video_vae.encoder.z_dim={vae.encoder.z_dim}, video_vae.decoder.z_dim={vae.decoder.z_dim}: "
            "the decoder takes what the encoder makes, give both the same"
        )
    return {
        "encoder": VideoEncoder(**vae.encoder, dtype=dtype),
        "decoder": VideoDecoder(**vae.decoder, dtype=dtype),
        "temporal_discriminator": TemporalDiscriminator(**vae.temporal_discriminator, dtype=dtype),
        "patch_discriminator": PatchDiscriminator(**vae.patch_discriminator, dtype=dtype),
    }


def image_ae(config: ConfigDict, dtype: Any) -> Modules:
    image, size = config.image_ae, config.data.size
    if size not in SIZES:
        raise UserError(f"data.size={size}: the image autoencoder exists for {', '.join(map(str, SIZES))} pixels")
    if image.encoder.z_dim < (least := smallest_code(size)):
        raise UserError(f"image_ae.encoder.z_dim={image.encoder.z_dim}: images of {size}x{size} need {least} or more")
    return {
        "encoder": ImageEncoder(**image.encoder, dtype=dtype),
        "decoder": ImageDecoder(z_dim=image.encoder.z_dim, size=size, **image.decoder, dtype=dtype),
        "patch_discriminator": PatchDiscriminator(**image.patch_discriminator, dtype=dtype),
    }


def flow(config: ConfigDict, dtype: Any) -> Modules:
    z_dim, controlled_by = config.video_vae.encoder.z_dim, control.get(config.control)
    if z_dim % 2:
        raise UserError(f"video_vae.encoder.z_dim={z_dim}: the flow splits z into halves, give an even number")
    controlled_by.check(config.data)
    has_control = controlled_by.width > 0
    return {"flow": ConditionalFlow(z_dim=z_dim, control=has_control, **config.flow.network, dtype=dtype)}


def classifier(config: ConfigDict, dtype: Any) -> Modules:
    return {"classifier": I3D(**config.classifier.network, dtype=dtype)}


def poke(config: ConfigDict, dtype: Any) -> Modules:
    stage, normalize = config.poke, config.data.poke.normalize
    if (stage.model.poke_over_time == "impulse") != (normalize == "impulse"):
        raise UserError(
            f"poke.model.poke_over_time={stage.model.poke_over_time} and data.poke.normalize={normalize} do not go "
            "together: a poke is an impulse in both, or in neither"
        )
    return {
        **poke_model.build(size=config.data.size, **stage.model, dtype=dtype),
        "temporal_discriminator": PatchTemporalDiscriminator(**stage.temporal_discriminator, dtype=dtype),
        "patch_discriminator": PatchDiscriminator(**stage.patch_discriminator, dtype=dtype),
    }
