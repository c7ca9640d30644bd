"""Image ResNets in torchvision's layout (He et al. 2015; the stride of a bottleneck is in its 3x3 convolution)."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError
from i2v_jax.models.initializers import kaiming_fan_out
from i2v_jax.models.layers import Conv, at_least_float32, block_of
from i2v_jax.models.norms import BatchNorm, normalize_instances
from i2v_jax.models.resampling import max_pool

Norm = Literal["in", "bn"]
Depth = Literal["resnet18", "resnet34", "resnet50"]
STAGES: dict[Depth, tuple[int, ...]] = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
BOTTLENECK_EXPANSION = 4
# Smaller images skip the max pool, so that 32x32 images end in a map as large as 64x64 images do.
MAX_POOL_FROM = 64


def is_bottleneck(depth: Depth) -> bool:
    """Returns whether blocks are 1x1, 3x3, 1x1 with four times as many output channels, instead of two 3x3."""
    return depth == "resnet50"


class ConvNorm(nn.Module):
    """Convolution without bias, then the norm: "in" (instance norm without affine) or "bn" (batch norm)."""

    features: int
    kernel: int
    stride: int
    norm: Norm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        size = (self.kernel, self.kernel)
        x = Conv(
            self.features,
            size,
            strides=self.stride,
            padding=self.kernel // 2,
            use_bias=False,
            kernel_init=kaiming_fan_out,
            dtype=self.dtype,
            name="conv",
        )(x)
        return normalize_instances(x) if self.norm == "in" else BatchNorm(name="norm")(x, train)


class ResidualBlock(nn.Module):
    """ReLU(layers(x) + shortcut(x)); the shortcut is a 1x1 convolution where stride or channels change."""

    width: int
    stride: int
    bottleneck: bool
    norm: Norm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if self.bottleneck:
            out = BOTTLENECK_EXPANSION * self.width
            layers = [(self.width, 1, 1), (self.width, 3, self.stride), (out, 1, 1)]
        else:
            out = self.width
            layers = [(self.width, 3, self.stride), (self.width, 3, 1)]
        h = x
        for index, (features, kernel, stride) in enumerate(layers):
            h = nn.relu(h) if index else h
            h = ConvNorm(features, kernel, stride, self.norm, self.dtype, name=f"layers_{index}")(h, train)
        if self.stride != 1 or x.shape[-1] != out:
            x = ConvNorm(out, 1, self.stride, self.norm, self.dtype, name="shortcut")(x, train)
        return nn.relu(h + x)


class ResNet(nn.Module):
    """Images [B, H, W, 3] -> globally averaged features [B, 512] (18, 34) or [B, 2048] (50), times `width` / 64.

    Raises:
      UserError: `depth` is unknown, or the images are so small that instance norm would see single pixels.
    """

    depth: Depth = "resnet50"
    norm: Norm = "in"
    width: int = 64
    remat: bool = False  # see `layers.block_of`
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        if self.depth not in STAGES:
            raise UserError(
                f"invalid value for depth: {self.depth!r} (must be one of {', '.join(STAGES)})", "depth", self.depth
            )
        x = nn.relu(ConvNorm(self.width, 7, 2, self.norm, self.dtype, name="stem")(images, train))
        if min(images.shape[1:3]) >= MAX_POOL_FROM:
            x = max_pool(x, (2, 2))
        for stage, blocks in enumerate(STAGES[self.depth]):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                name = f"stage{stage}_block{block}"
                width, bottleneck = self.width * 2**stage, is_bottleneck(self.depth)
                residual = block_of(ResidualBlock, self.remat, train_argument=2)
                x = residual(width, stride, bottleneck, self.norm, self.dtype, name=name)(x, train)
        if self.norm == "in" and x.shape[1] * x.shape[2] == 1:
            raise UserError(
                f"images of {images.shape[1]}x{images.shape[2]} are too small for instance norm: use 32x32 or more",
                "images",
                images.shape[1:3],
            )
        return jnp.mean(at_least_float32(x), axis=(1, 2))
