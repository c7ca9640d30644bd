"""The perceptual distance in the poke paper's losses: differences of VGG features (Johnson et al. 2016)."""

from typing import Any

import jax
import jax.numpy as jnp

from i2v_jax.models.layers import at_least_float32
from i2v_jax.pretrained.networks.lpips import SCALE, SHIFT
from i2v_jax.pretrained.networks.vgg import VGG, convolution_indices


def vgg_distance(module: VGG, variables: Any, a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the sum of mean absolute differences of the pixels and of the second ReLU of each of the five stages.

    The pixels are those that VGG sees, normalized by the mean and standard deviation of its training images.

    Args:
      module, variables: VGG16 or VGG19 and its weights.
      a, b: [B, H, W, 3] in [-1, 1], H and W at least 16. Gradients flow to both.
    Returns:
      [B] float32.
    """
    a, b = ((at_least_float32(images) - SHIFT) / SCALE for images in (a, b))
    # Two passes, not one over both: with a constant `b` half of the backward pass is saved.
    features_a, features_b = [module.apply(variables, images) for images in (a, b)]
    layers = [indices[1] + 1 for indices in convolution_indices(module.depth)]
    pairs: list[Any] = [(a, b), *((features_a[layer], features_b[layer]) for layer in layers)]
    differences = [jnp.mean(jnp.abs(at_least_float32(x) - at_least_float32(y)), axis=(1, 2, 3)) for x, y in pairs]
    return jnp.sum(jnp.stack(differences), axis=0)
