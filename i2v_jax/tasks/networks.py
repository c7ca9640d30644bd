"""The modules that a configuration describes."""

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from i2v_jax.models.discriminators import PatchDiscriminator, TemporalDiscriminator
from i2v_jax.models.flow import ConditionalFlow
from i2v_jax.models.image_autoencoder import ImageDecoder, ImageEncoder
from i2v_jax.models.resnet3d import VideoEncoder
from i2v_jax.models.video_decoder import VideoDecoder


def build(config: ConfigDict) -> dict[str, dict[str, nn.Module]]:
    """Stage -> network name -> module, for the stages of `config`."""
    dtype = jnp.dtype(config.dtype)
    vae, image, flow = config.video_vae, config.image_ae, config.flow
    return {
        "video_vae": {
            "encoder": VideoEncoder(**vae.encoder, dtype=dtype),
            "decoder": VideoDecoder(**vae.decoder, dtype=dtype),
            "temporal_discriminator": TemporalDiscriminator(**vae.temporal_discriminator, dtype=dtype),
            "patch_discriminator": PatchDiscriminator(**vae.patch_discriminator, dtype=dtype),
        },
        "image_ae": {
            "encoder": ImageEncoder(**image.encoder, dtype=dtype),
            "decoder": ImageDecoder(z_dim=image.encoder.z_dim, size=config.data.size, **image.decoder, dtype=dtype),
            "patch_discriminator": PatchDiscriminator(**image.patch_discriminator, dtype=dtype),
        },
        "flow": {
            "flow": ConditionalFlow(
                z_dim=vae.encoder.z_dim, control=config.control != "none", **flow.network, dtype=dtype
            )
        },
    }
