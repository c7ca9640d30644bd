"""State dicts of torchvision's VGG and of the LPIPS release: modules, and our path of each key."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from i2v_jax.pretrained.networks import lpips
from i2v_jax.pretrained.networks.vgg import CHANNELS, VGG, convolution_indices
from i2v_jax.torch_interop.state_dicts import layout
from i2v_jax.torch_interop.state_dicts.layout import Entry

Config = Mapping[str, Any]
# The three linear layers of torchvision's classifier, which are not used.
_CLASSIFIER = (0, 3, 6)


def vgg(depth: int) -> Callable[[Config], VGG]:
    """Returns the function that makes VGG of that depth; the config is not used."""
    return lambda config: VGG(depth)


def vgg_entries(depth: int) -> Callable[[Config], list[Entry]]:
    """Returns the keys of torchvision's checkpoint; those of the classifier are optional."""

    def entries(config: Config) -> list[Entry]:
        rows = []
        for stage in convolution_indices(depth):
            for index in stage:
                rows += _conv(f"features.{index}", f"features_{index}")
        ignored = [f"classifier.{layer}.{kind}" for layer in _CLASSIFIER for kind in ("weight", "bias")]
        return rows + [Entry(key, "") for key in ignored]

    return entries


def lpips_module(config: Config) -> lpips.LPIPS:
    """Returns the module; the config is not used."""
    return lpips.LPIPS()


def lpips_entries(config: Config) -> list[Entry]:
    """Returns the keys of the LPIPS release (VGG16). The constants of its scaling layer are part of our module."""
    entries = [
        layout.constant("scaling_layer.shift", lpips.SHIFT.reshape(1, 3, 1, 1)),
        layout.constant("scaling_layer.scale", lpips.SCALE.reshape(1, 3, 1, 1)),
    ]
    for stage, (indices, channels) in enumerate(zip(convolution_indices(16), CHANNELS, strict=True)):
        for index in indices:
            entries += _conv(f"net.slice{stage + 1}.{index}", f"vgg/features_{index}")
        head = layout.reshape((1, channels, 1, 1), (channels,))
        entries.append(Entry(f"lin{stage}.model.1.weight", f"params/head_{stage}", head))
    return entries


def example_images(config: Config) -> tuple[Any, ...]:
    """Returns one image of the smallest size."""
    return (jnp.zeros((1, 16, 16, 3)),)


def example_image_pair(config: Config) -> tuple[Any, ...]:
    """Returns two images of the smallest size."""
    return (*example_images(config), *example_images(config))


def _conv(theirs: str, ours: str) -> list[Entry]:
    return [
        Entry(f"{theirs}.weight", f"params/{ours}/kernel", layout.CONV2D),
        Entry(f"{theirs}.bias", f"params/{ours}/bias"),
    ]
