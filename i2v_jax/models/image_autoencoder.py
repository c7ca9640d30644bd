"""The image autoencoder whose encoder embeds the start frame for the conditional flow."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models import biggan, resnet2d
from i2v_jax.models.layers import Linear, at_least_float32, leaky_relu
from i2v_jax.models.posterior import Posterior

LOGVAR_RANGE = (-30.0, 10.0)
CLASS_LAYERS = 3


class ImageEncoder(nn.Module):
    """Images [B, H, W, 3] in [-1, 1] -> posterior over the code; the flow is conditioned on its mean.

    Attributes:
      norm: "in" (instance norm without affine) or "bn" (batch norm).
      depth: "resnet18", "resnet34" or "resnet50".
      width: channels of the stem; 64 is the authors'.
      remat: see `layers.block_of`.
    """

    z_dim: int
    norm: resnet2d.Norm = "in"
    depth: resnet2d.Depth = "resnet50"
    width: int = 64
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> Posterior:
        resnet = resnet2d.ResNet(self.depth, self.norm, self.width, self.remat, self.dtype, name="resnet")
        features = resnet(images, train)
        mean, logvar = jnp.split(Linear(2 * self.z_dim, dtype=features.dtype, name="head")(features), 2, axis=-1)
        return Posterior(mean, jnp.clip(logvar, *LOGVAR_RANGE))


class ImageDecoder(nn.Module):
    """Code [B, z_dim] -> images [B, size, size, 3] in (-1, 1).

    Attributes:
      size: 32, 64 or 128; see `biggan.widths` and `biggan.code_size` for what follows from it.
      channels: width of the last block.
      mlp_width, num_classes: of the network that turns the code into a distribution over classes.
      remat: see `layers.block_of`.
    """

    z_dim: int
    size: int
    channels: int = 96
    mlp_width: int = 2000
    num_classes: int = 1000
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array, train: bool = False) -> jax.Array:
        h = code
        for index in range(CLASS_LAYERS):
            h = leaky_relu(Linear(self.mlp_width, dtype=self.dtype, name=f"class_layers_{index}")(h), 0.01)
        logits = Linear(self.num_classes, dtype=self.dtype, name=f"class_layers_{CLASS_LAYERS}")(h)
        classes = nn.softmax(at_least_float32(logits), axis=-1)
        generator = biggan.Generator(self.size, self.channels, self.remat, self.dtype, name="generator")
        return generator(code, classes, train)


class ImageAutoencoder(nn.Module):
    """Encoder and decoder; the attributes are theirs, `encoder_width` is the encoder's `width`."""

    z_dim: int
    size: int
    norm: resnet2d.Norm = "in"
    depth: resnet2d.Depth = "resnet50"
    encoder_width: int = 64
    channels: int = 96
    mlp_width: int = 2000
    num_classes: int = 1000
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.encoder = ImageEncoder(self.z_dim, self.norm, self.depth, self.encoder_width, dtype=self.dtype)
        self.decoder = ImageDecoder(
            self.z_dim, self.size, self.channels, self.mlp_width, self.num_classes, dtype=self.dtype
        )

    def encode(self, images: jax.Array, train: bool = False) -> Posterior:
        """Returns the posterior of images [B, size, size, 3] in [-1, 1], with mean and logvar [B, z_dim]."""
        return self.encoder(images, train)

    def decode(self, code: jax.Array, train: bool = False) -> jax.Array:
        """Returns images [B, size, size, 3] in (-1, 1) of z [B, z_dim]."""
        return self.decoder(code, train)

    def __call__(
        self, images: jax.Array, noise: jax.Array | None = None, train: bool = False
    ) -> tuple[jax.Array, Posterior]:
        """Reconstruction [B, size, size, 3] and posterior.

        `noise` [B, z_dim] is the standard normal draw of the code; without it the code is the posterior's mean.
        """
        posterior = self.encode(images, train)
        code = posterior.mean if noise is None else posterior.sample_with(noise)
        return self.decode(code, train), posterior
