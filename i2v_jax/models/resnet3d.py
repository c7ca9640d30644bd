"""3D ResNet: the trunk of the video encoder and the temporal discriminators (cINN paper, section 3 and appendix)."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError
from i2v_jax.models.initializers import Initializer, kaiming_fan_out
from i2v_jax.models.layers import Conv, SpectralNorm, at_least_float32, block_of
from i2v_jax.models.norms import GroupNorm
from i2v_jax.models.posterior import Posterior
from i2v_jax.models.resampling import max_pool

Depth = Literal["resnet18", "resnet34", "resnet50", "resnet101"]
BLOCKS: dict[str, tuple[int, int, int, int]] = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
BOTTLENECK_EXPANSION = 4


def is_bottleneck(depth: str) -> bool:
    return depth in ("resnet50", "resnet101")


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions, or 1x1x1, 3x3x3, 1x1x1 with `bottleneck`, each with group norm, plus a shortcut.

    The shortcut is the identity, or a 3x3x3 convolution and group norm when the size or the width changes.
    """

    features: int
    strides: tuple[int, int, int] = (1, 1, 1)
    bottleneck: bool = False
    spectral_norm: SpectralNorm = "none"
    kernel_init: Initializer = kaiming_fan_out
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        def conv_norm(y: jax.Array, name: str, features: int, size: int, strides: tuple[int, int, int]) -> jax.Array:
            y = Conv(
                features,
                (size,) * 3,
                strides,
                padding=size // 2,
                use_bias=False,
                spectral_norm=self.spectral_norm,
                kernel_init=self.kernel_init,
                dtype=self.dtype,
                name=name,
            )(y, train)
            return GroupNorm(name=f"{name}_norm")(y)

        ones = (1, 1, 1)
        if self.bottleneck:
            features = self.features * BOTTLENECK_EXPANSION
            y = nn.relu(conv_norm(x, "conv1", self.features, 1, ones))
            y = nn.relu(conv_norm(y, "conv2", self.features, 3, self.strides))
            y = conv_norm(y, "conv3", features, 1, ones)
        else:
            features = self.features
            y = nn.relu(conv_norm(x, "conv1", features, 3, self.strides))
            y = conv_norm(y, "conv2", features, 3, ones)
        if self.strides != ones or x.shape[-1] != features:
            x = conv_norm(x, "shortcut", features, 3, self.strides)
        return nn.relu(y + x)


class ResNet3D(nn.Module):
    """Stem 3x7x7, optional max pool 3x3x3 (stride 1,2,2), stages of residual blocks.

    [B, T, H, W, 3] -> the stages' outputs. `channels` are the widths of the stem and the stages, `blocks` the numbers
    of blocks per stage. `spectral_norm` applies to no convolution, to the first block of every stage, or to all.
    `remat`: see `layers.block_of`.
    Raises UserError unless there is one channel more than stages and, per stage, one stride in time and one in space.
    """

    channels: tuple[int, ...]
    stride_t: tuple[int, ...]
    stride_s: tuple[int, ...]
    stem_strides: tuple[int, int, int] = (2, 2, 2)
    blocks: tuple[int, ...] = BLOCKS["resnet18"]
    bottleneck: bool = False
    max_pool: bool = False
    spectral_norm: Literal["none", "first_blocks", "all"] = "none"
    kernel_init: Initializer = kaiming_fan_out
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
        stages = len(self.blocks)
        if not len(self.channels) - 1 == len(self.stride_t) == len(self.stride_s) == stages:
            raise UserError(
                f"channels={self.channels}, stride_t={self.stride_t}, stride_s={self.stride_s} do not fit a stem and "
                f"{stages} stages: give {stages + 1} channels, and {stages} values of stride_t and of stride_s",
                "channels, stride_t, stride_s",
                (self.channels, self.stride_t, self.stride_s),
            )
        stem = Conv(
            self.channels[0],
            (3, 7, 7),
            self.stem_strides,
            padding=(1, 3, 3),
            use_bias=False,
            spectral_norm="power_iteration" if self.spectral_norm == "all" else "none",
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="stem",
        )
        x = nn.relu(GroupNorm(name="stem_norm")(stem(video, train)))
        if self.max_pool:
            x = max_pool(x, (1, 2, 2))
        outputs = []
        normalized = {"none": (), "first_blocks": (True,), "all": (True, False)}[self.spectral_norm]
        widths_and_strides = zip(self.channels[1:], self.stride_t, self.stride_s, self.blocks, strict=True)
        for stage, (features, stride_t, stride_s, blocks) in enumerate(widths_and_strides):
            for block in range(blocks):
                first = block == 0
                x = block_of(ResidualBlock, self.remat, train_argument=2)(
                    features,
                    (stride_t, stride_s, stride_s) if first else (1, 1, 1),
                    self.bottleneck,
                    "power_iteration" if first in normalized else "none",
                    self.kernel_init,
                    self.dtype,
                    name=f"stage{stage}_block{block}",
                )(x, train)
            outputs.append(x)
        return tuple(outputs)


class VideoEncoder(nn.Module):
    """q(z|X): [B, T, H, W, 3] in [-1, 1] -> Posterior over [B, z_dim], float32.

    Raises UserError if the strides do not reduce the video to one frame of 4x4.
    """

    z_dim: int
    channels: tuple[int, ...]
    stride_t: tuple[int, ...]
    stride_s: tuple[int, ...]
    depth: Depth = "resnet18"
    max_pool: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: jax.Array) -> Posterior:
        trunk = ResNet3D(
            self.channels,
            self.stride_t,
            self.stride_s,
            blocks=BLOCKS[self.depth],
            bottleneck=is_bottleneck(self.depth),
            max_pool=self.max_pool,
            remat=self.remat,
            dtype=self.dtype,
            name="trunk",
        )
        x = trunk(video)[-1]
        if x.shape[1:4] != (1, 4, 4):
            raise UserError(
                f"the video encoder turns {'x'.join(map(str, video.shape[1:4]))} (T x H x W) into "
                f"{'x'.join(map(str, x.shape[1:4]))} (must be 1x4x4): change stride_t or stride_s",
                "stride_t, stride_s",
                x.shape[1:4],
            )
        mean = Conv(self.z_dim, (4, 4), dtype=self.dtype, name="mean")(x[:, 0])
        logvar = Conv(self.z_dim, (4, 4), dtype=self.dtype, name="logvar")(x[:, 0])
        return Posterior(at_least_float32(mean[:, 0, 0]), at_least_float32(logvar[:, 0, 0]))
