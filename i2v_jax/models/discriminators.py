"""Discriminators of clips and of single frames (cINN paper, section 3; poke paper, section 3.3 and appendix E.1)."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.actnorm import ActNorm
from i2v_jax.models.initializers import normal_with, orthogonal
from i2v_jax.models.layers import Conv, Linear, at_least_float32, leaky_relu
from i2v_jax.models.norms import normalize_instances
from i2v_jax.models.resnet3d import ResNet3D

PatchNorm = Literal["actnorm", "instance"]


class TemporalDiscriminator(nn.Module):
    """[B, T, H, W, 3] in [-1, 1] -> (logits [B, 1] float32, the outputs of the four stages)."""

    channels: tuple[int, ...]
    stride_t: tuple[int, ...]
    stride_s: tuple[int, ...]
    spectral_norm: bool = True
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        features = ResNet3D(
            self.channels,
            self.stride_t,
            self.stride_s,
            stem_strides=(1, 2, 2),
            max_pool=True,
            spectral_norm="first_blocks" if self.spectral_norm else "none",
            kernel_init=orthogonal,
            remat=self.remat,
            dtype=self.dtype,
            name="trunk",
        )(video, train)
        pooled = jnp.mean(at_least_float32(features[-1]), axis=(1, 2, 3))
        return Linear(1, use_bias=False, kernel_init=orthogonal, name="logits")(pooled), features


def halving_stages(width: int, frames: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Returns (channels, stride_t, stride_s) of a 3D ResNet whose stages halve `frames` until one is left.

    The first stage keeps the size. The next ones have 4, then 8 times `width` channels; exactly the first two of them
    also halve height and width, whatever the size of the video, as in the release of the poke model.
    """
    channels, stride_t, stride_s = [2 * width, width], [1], [1]
    while frames > 1:
        halvings = len(stride_t) - 1
        channels.append(width * (8 if halvings else 4))
        stride_t.append(2)
        stride_s.append(2 if halvings < 2 else 1)
        frames = -(-frames // 2)
    return tuple(channels), tuple(stride_t), tuple(stride_s)


class PatchTemporalDiscriminator(nn.Module):
    """[B, T, H, W, 3] in [-1, 1] -> (logits [B, h, w, 1] float32, the outputs of all stages).

    A 3D ResNet with two blocks in each stage and all convolutions spectrally normalized (see `halving_stages`), and a
    3x3 convolution of its last frame. From five frames on, h and w are a sixteenth of H and W.
    """

    width: int = 32
    spectral_norm: bool = True
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        channels, stride_t, stride_s = halving_stages(self.width, video.shape[1])
        features = _trunk(self, channels, stride_t, stride_s)(video, train)
        logits = Conv(1, (3, 3), padding=1, dtype=self.dtype, name="logits")(features[-1][:, 0])
        return at_least_float32(logits), features


class FrameTemporalDiscriminator(nn.Module):
    """[B, T, H, W, 3] in [-1, 1] -> (logits [B, T, 1] float32, one per frame, the outputs of all stages).

    A 3D ResNet that keeps all frames, with two blocks in each stage and all convolutions spectrally normalized; each
    frame is averaged over its positions. The release of the poke model trains its sequence model with it.
    """

    width: int = 32
    spectral_norm: bool = True
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        channels = tuple(factor * self.width for factor in (2, 2, 4, 4, 8))
        features = _trunk(self, channels, (1, 1, 1, 1), (1, 1, 2, 2))(video, train)
        pooled = jnp.mean(at_least_float32(features[-1]), axis=(2, 3))
        return Linear(1, use_bias=False, name="logits")(pooled), features


def _trunk(
    head: PatchTemporalDiscriminator | FrameTemporalDiscriminator,
    channels: tuple[int, ...],
    stride_t: tuple[int, ...],
    stride_s: tuple[int, ...],
) -> ResNet3D:
    """Returns the 3D ResNet below the head of a poke model's temporal discriminator, as the head's submodule."""
    return ResNet3D(
        channels,
        stride_t,
        stride_s,
        stem_strides=(1, 2, 2),
        blocks=(2,) * len(stride_t),
        max_pool=True,
        spectral_norm="all" if head.spectral_norm else "none",
        kernel_init=orthogonal,
        remat=head.remat,
        dtype=head.dtype,
        name="trunk",
    )


class PatchDiscriminator(nn.Module):
    """[B, H, W, 3] in [-1, 1] -> logits [B, h, w, 1] float32, one per overlapping patch.

    `layers` convolutions of stride 2, two of stride 1, all 4x4; widths `width` times 1, 2, 4, ... up to 8. What comes
    out of the normalized layers is sown as "features" in the collection `intermediates`.
    """

    width: int = 64
    layers: int = 3
    norm: PatchNorm = "actnorm"
    spectral_norm: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, data_init: bool = False) -> jax.Array:
        def conv(x: jax.Array, features: int, stride: int, name: str) -> jax.Array:
            return Conv(
                features,
                (4, 4),
                stride,
                padding=1,
                spectral_norm="power_iteration" if self.spectral_norm else "none",
                kernel_init=normal_with(0.02),
                dtype=self.dtype,
                name=name,
            )(x, train)

        x = leaky_relu(conv(images, self.width, 2, "conv0"))
        for layer in range(1, self.layers + 1):
            stride = 2 if layer < self.layers else 1
            x = conv(x, self.width * min(2**layer, 8), stride, f"conv{layer}")
            if self.norm == "actnorm":
                x = ActNorm(x.shape[-1], name=f"norm{layer}")(x, data_init)
            else:
                x = normalize_instances(x)
            x = leaky_relu(x)
            if not self.is_initializing():
                self.sow("intermediates", "features", x)
        return at_least_float32(conv(x, 1, 1, f"conv{self.layers + 1}"))
