"""The learned perceptual image distance LPIPS on VGG16 (Zhang et al. 2018, version 0.1)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.models.layers import at_least_float32
from i2v_jax.pretrained.networks.vgg import CHANNELS, VGG

# Statistics of ImageNet for images in [-1, 1].
SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
SCALE = np.array([0.458, 0.448, 0.450], np.float32)
# The last ReLU of each stage of VGG16.
LAYERS = (3, 8, 15, 22, 29)
EPS = 1e-10


class LPIPS(nn.Module):
    """The distance of two batches of images: VGG16 features, unit length per pixel, squared difference, weighted sum.

    VGG runs in `dtype`; the distance is float32. Gradients flow to both images and to the parameters.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Returns the distance [B] of a and b [B, H, W, 3] in [-1, 1], H and W at least 16."""
        vgg = VGG(16, self.dtype, name="vgg")
        # Two passes, not one over both: with a constant `a` half of the backward pass is saved.
        features_a, features_b = (vgg((at_least_float32(images) - SHIFT) / SCALE) for images in (a, b))
        distance = jnp.zeros(a.shape[0])
        for index, (layer, channels) in enumerate(zip(LAYERS, CHANNELS, strict=True)):
            weight = self.param(f"head_{index}", nn.initializers.constant(1 / channels), (channels,), jnp.float32)
            difference = _unit_length(features_a[layer]) - _unit_length(features_b[layer])
            distance += jnp.mean(jnp.square(difference) @ weight, axis=(1, 2))
        return distance


def _unit_length(features: jax.Array) -> jax.Array:
    features = at_least_float32(features)
    squared = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
    # The square root has no finite derivative at 0, where a pixel has no active feature.
    active = squared > 0
    length = jnp.where(active, jnp.sqrt(jnp.where(active, squared, 1.0)), 0.0)
    return features / (length + EPS)
