"""VGG feature extractors in torchvision's layout (Simonyan and Zisserman 2014)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.initializers import kaiming_fan_out
from i2v_jax.models.layers import Conv

# Convolutions between two max pools, and the channels of each such stage.
STAGES = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


def convolution_indices(depth: int) -> list[list[int]]:
    """Returns for each stage the indices of its convolutions in torchvision's `features`; each ReLU is next.

    Raises:
      ValueError: `depth` is not 16 or 19.
    """
    if depth not in STAGES:
        raise ValueError(f"VGG has depth {', '.join(map(str, STAGES))}, not {depth}")
    stages, index = [], 0
    for count in STAGES[depth]:
        stages.append([index + 2 * i for i in range(count)])
        index += 2 * count + 1  # the pool
    return stages


class VGG(nn.Module):
    """Maps images [B, H, W, 3], normalized as in training, to the outputs of all ReLUs.

    The keys of the result are torchvision's layer indices (1, 3, 6, ...), its values are
    [B, H / 2^s, W / 2^s, C] in stage s. There is no pool after the last stage.
    """

    depth: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[int, jax.Array]:
        features = {}
        x = images
        for stage, (indices, channels) in enumerate(zip(convolution_indices(self.depth), CHANNELS, strict=True)):
            x = _max_pool(x) if stage else x
            for index in indices:
                conv = Conv(
                    channels, (3, 3), padding=1, kernel_init=kaiming_fan_out, dtype=self.dtype, name=f"features_{index}"
                )
                x = features[index + 1] = nn.relu(conv(x))
        return features


def _max_pool(x: jax.Array) -> jax.Array:
    """Returns the maximum over 2x2 windows, without an odd last row or column; its gradient is fast."""
    height, width = (size // 2 * 2 for size in x.shape[1:3])
    x = jnp.maximum(x[:, 0:height:2], x[:, 1:height:2])
    return jnp.maximum(x[:, :, 0:width:2], x[:, :, 1:width:2])
