"""The modules that a configuration describes."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.models import poke_model
from i2v_jax.models.biggan import smallest_code
from i2v_jax.models.discriminators import PatchDiscriminator, PatchTemporalDiscriminator, TemporalDiscriminator
from i2v_jax.models.flow import ConditionalFlow
from i2v_jax.models.image_autoencoder import ImageDecoder, ImageEncoder
from i2v_jax.models.resnet3d import VideoEncoder
from i2v_jax.models.video_decoder import VideoDecoder

Modules = dict[str, nn.Module]  # network name -> module


def build(config: ConfigDict) -> dict[str, Modules]:
    """The modules of every stage of `config`.

    Raises:
      UserError: for sizes that do not fit each other, control by pokes where clips have none, and
        impulses in a model alone or in its data alone.
    """
    dtype = jnp.dtype(config.dtype)
    return {stage: _BUILDERS[stage](config, dtype) for stage in config.stages}


def _video_vae(config: ConfigDict, dtype: Any) -> Modules:
    vae = config.video_vae
    return {
        "encoder": VideoEncoder(**vae.encoder, dtype=dtype),
        "decoder": VideoDecoder(**vae.decoder, dtype=dtype),
        "temporal_discriminator": TemporalDiscriminator(**vae.temporal_discriminator, dtype=dtype),
        "patch_discriminator": PatchDiscriminator(**vae.patch_discriminator, dtype=dtype),
    }


def _image_ae(config: ConfigDict, dtype: Any) -> Modules:
    image, size = config.image_ae, config.data.size
    if image.encoder.z_dim < (least := smallest_code(size)):
        raise UserError(f"image_ae.encoder.z_dim={image.encoder.z_dim}: images of {size}x{size} need {least} or more")
    return {
        "encoder": ImageEncoder(**image.encoder, dtype=dtype),
        "decoder": ImageDecoder(z_dim=image.encoder.z_dim, size=size, **image.decoder, dtype=dtype),
        "patch_discriminator": PatchDiscriminator(**image.patch_discriminator, dtype=dtype),
    }


def _flow(config: ConfigDict, dtype: Any) -> Modules:
    z_dim, control = config.video_vae.encoder.z_dim, config.control != "none"
    if config.control == "poke" and ("poke" not in config.data or config.data.poke.normalize != "none"):
        raise UserError("control=poke needs clips that are poked, by displacements in pixels: see configs/plants.py")
    return {"flow": ConditionalFlow(z_dim=z_dim, control=control, **config.flow.network, dtype=dtype)}


def _poke(config: ConfigDict, dtype: Any) -> Modules:
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


_BUILDERS: dict[str, Callable[[ConfigDict, Any], Modules]] = {
    "video_vae": _video_vae,
    "image_ae": _image_ae,
    "flow": _flow,
    "poke": _poke,
}
