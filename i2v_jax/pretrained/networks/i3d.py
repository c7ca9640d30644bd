"""I3D, the inflated Inception of Carreira and Zisserman 2017: the backbone of FVD, PFVD and DTFVD."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.models.initializers import kaiming_fan_out
from i2v_jax.models.layers import Conv, Linear, at_least_float32, block_of
from i2v_jax.models.norms import BatchNorm
from i2v_jax.models.resampling import max_pool

# For each mixed block the widths of its units `branch_0`, `branch_1a`, `branch_1b`, `branch_2a`, `branch_2b`,
# `branch_3b`, and in front of some the max pool: (window, strides) in time, height and width.
MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOLS = {"mixed_4b": ((3, 3, 3), (2, 2, 2)), "mixed_5b": ((2, 2, 2), (2, 2, 2))}
_TIME_STRIDE = 8
CLASSES = 400


@flax.struct.dataclass
class I3DFeatures:
    """The outputs of I3D for a batch of clips, float32."""

    logits: jax.Array  # [B, classes]
    pooled: jax.Array  # [B, 1024], the mean over time and space in front of the classifier


class Unit(nn.Module):
    """Convolution with TensorFlow's padding, batch norm, ReLU."""

    features: int
    size: int = 1
    stride: int = 1
    eps: float = 1e-3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        pads = [same_padding(n, self.size, self.stride) for n in x.shape[1:4]]
        padding = tuple(before for before, _ in pads)
        if any(before != after for before, after in pads):
            x, padding = jnp.pad(x, [(0, 0), *pads, (0, 0)]), (0, 0, 0)
        x = Conv(
            self.features,
            (self.size,) * 3,
            (self.stride,) * 3,
            padding,
            use_bias=False,
            kernel_init=kaiming_fan_out,
            dtype=self.dtype,
            name="conv",
        )(x)
        return nn.relu(BatchNorm(eps=self.eps, name="norm")(x, train))


class Mixed(nn.Module):
    """Four parallel branches: 1x1x1; 1x1x1 and 3x3x3, twice; max pool and 1x1x1."""

    widths: tuple[int, int, int, int, int, int]
    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        def unit(y: jax.Array, name: str, features: int, size: int = 1) -> jax.Array:
            return Unit(features, size, eps=self.eps, dtype=self.dtype, name=name)(y, train)

        plain, narrow_1, wide_1, narrow_2, wide_2, pooled = self.widths
        return jnp.concatenate(
            [
                unit(x, "branch_0", plain),
                unit(unit(x, "branch_1a", narrow_1), "branch_1b", wide_1, 3),
                unit(unit(x, "branch_2a", narrow_2), "branch_2b", wide_2, 3),
                unit(max_pool(x, (1, 1, 1)), "branch_3b", pooled),
            ],
            axis=-1,
        )


class I3D(nn.Module):
    """Maps clips [B, T, H, W, 3], in the range and of the size that the weights were trained on, to I3DFeatures.

    The networks in use differ in a few numbers only. Kinetics (the TF-Hub weights, and their PyTorch port):
    `I3D()`; dynamic textures of 16 or 32 frames: `I3D(18, pool_frames=2 or 4, eps=1e-5, dropout=0.5)`.

    With `train=True` batch norm takes the statistics of the batch (collection `batch_stats` is to be mutable) and
    dropout acts in front of the classifier (random stream `dropout`).

    Attributes:
      classes: number of logits.
      pool_frames: steps of the last feature map, one per 8 frames, under the average pool. The pool moves by one step,
        and the results are averaged: where a clip has more steps, its inner ones count more often than its ends.
      eps: of the batch norms.
      dropout: the share of pooled features that training drops.
      width_divisor: all widths are divided by it, for small trials; 16 at most.
      remat: see `models.layers.block_of`.
      dtype: of the computation; statistics and outputs are float32.
    Raises:
      UserError: the clip has fewer than `shortest_clip` frames.
    """

    classes: int = CLASSES
    pool_frames: int = 2
    eps: float = 1e-3
    dropout: float = 0.0
    width_divisor: int = 1
    remat: bool = False
    dtype: Any = jnp.float32

    @property
    def shortest_clip(self) -> int:
        """The number of frames that the average pool needs: 9 for Kinetics and for 16 frames, 25 for 32 frames."""
        return _TIME_STRIDE * (self.pool_frames - 1) + 1

    @nn.compact
    def __call__(self, video: jax.Array, train: bool = False) -> I3DFeatures:
        if video.shape[1] < self.shortest_clip:
            raise UserError(
                f"clips of {video.shape[1]} frames are too short for this I3D (must be at least {self.shortest_clip})",
                "frames",
                video.shape[1],
            )

        def unit(y: jax.Array, name: str, features: int, size: int = 1, stride: int = 1) -> jax.Array:
            narrowed = features // self.width_divisor
            layer = block_of(Unit, self.remat, train_argument=2)
            return layer(narrowed, size, stride, self.eps, self.dtype, name=name)(y, train)

        x = unit(video, "conv3d_1a_7x7", 64, 7, 2)
        x = same_max_pool(x, (1, 3, 3), (1, 2, 2))
        x = unit(x, "conv3d_2b_1x1", 64)
        x = unit(x, "conv3d_2c_3x3", 192, 3)
        x = same_max_pool(x, (1, 3, 3), (1, 2, 2))
        for name, widths in MIXED.items():
            if name in _POOLS:
                x = same_max_pool(x, *_POOLS[name])
            narrowed: Any = tuple(width // self.width_divisor for width in widths)
            mixed = block_of(Mixed, self.remat, train_argument=2)
            x = mixed(narrowed, self.eps, self.dtype, name=name)(x, train)
        weights = jnp.asarray(_frame_weights(x.shape[1], self.pool_frames))
        steps = jnp.mean(at_least_float32(x), axis=(2, 3))
        pooled = jnp.einsum("t,btc->bc", weights, steps, precision=jax.lax.Precision.HIGHEST)
        kept = nn.Dropout(self.dropout, deterministic=not train)(pooled)
        # The layer's default: kaiming_fan_out, made for convolutions, would begin with a loss of several nats.
        logits = Linear(self.classes, dtype=self.dtype, name="logits")(kept)
        return I3DFeatures(at_least_float32(logits), pooled)


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Returns the zeros before and after an axis by TensorFlow's rule SAME: ceil(size / stride) windows fit."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def same_max_pool(x: jax.Array, sizes: tuple[int, ...], strides: tuple[int, ...]) -> jax.Array:
    """Returns the max pool, with TensorFlow's padding, over the axes between batch and channels."""
    pads = tuple(same_padding(*axis) for axis in zip(x.shape[1:-1], sizes, strides, strict=True))
    return max_pool(x, strides, sizes, pads)


def _frame_weights(steps: int, window: int) -> np.ndarray:
    """Returns the weight of each step in the mean over all windows of the windows' means."""
    windows = steps - window + 1
    return np.convolve(np.ones(windows), np.ones(window)).astype(np.float32) / (windows * window)
