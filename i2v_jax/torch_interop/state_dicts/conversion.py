"""State dicts of the authors' PyTorch networks, by network name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.torch_interop.state_dicts import (
    flow,
    gmflow,
    image_networks,
    layout,
    metric_networks,
    poke_networks,
    vgg_networks,
    video_networks,
)

Config = Mapping[str, Any]


class Network(NamedTuple):
    """The functions that turn a network's config into our module, its state-dict entries, and example inputs."""

    module: Callable[[Config], nn.Module]
    entries: Callable[[Config], list[layout.Entry]]
    example_inputs: Callable[[Config], tuple[Any, ...]]


NETWORKS: dict[str, Network] = {
    "video_encoder": Network(
        video_networks.video_encoder, video_networks.video_encoder_entries, video_networks.example_video
    ),
    "video_decoder": Network(
        video_networks.video_decoder,
        video_networks.video_decoder_entries,
        video_networks.example_start_frame_and_latent,
    ),
    "temporal_discriminator": Network(
        video_networks.temporal_discriminator,
        video_networks.temporal_discriminator_entries,
        video_networks.example_video,
    ),
    "patch_discriminator": Network(
        video_networks.patch_discriminator, video_networks.patch_discriminator_entries, video_networks.example_images
    ),
    "image_autoencoder": Network(
        image_networks.image_autoencoder_module, image_networks.image_autoencoder_entries, image_networks.example_images
    ),
    "image_encoder": Network(
        image_networks.image_encoder_module, image_networks.image_encoder_entries, image_networks.example_images
    ),
    "flow": Network(flow.flow, flow.flow_entries, flow.example_latent_and_condition),
    "poke_model": Network(
        poke_networks.poke_model_module, poke_networks.poke_model_entries, poke_networks.example_start_frame_and_poke
    ),
    "poke_patch_discriminator": Network(
        poke_networks.poke_patch_discriminator,
        poke_networks.poke_patch_discriminator_entries,
        poke_networks.example_images,
    ),
    "poke_temporal_discriminator": Network(
        poke_networks.poke_temporal_discriminator,
        poke_networks.poke_temporal_discriminator_entries,
        video_networks.example_video,
    ),
    "lpips": Network(vgg_networks.lpips_module, vgg_networks.lpips_entries, vgg_networks.example_image_pair),
    "vgg16": Network(vgg_networks.vgg(16), vgg_networks.vgg_entries(16), vgg_networks.example_images),
    "vgg19": Network(vgg_networks.vgg(19), vgg_networks.vgg_entries(19), vgg_networks.example_images),
    "i3d": Network(metric_networks.i3d_kinetics, metric_networks.i3d_kinetics_entries, metric_networks.example_clip),
    "i3d_dynamic_textures": Network(
        metric_networks.i3d_dynamic_textures,
        metric_networks.i3d_dynamic_textures_entries,
        metric_networks.example_clip,
    ),
    "gmflow": Network(gmflow.gmflow_module, gmflow.gmflow_entries, gmflow.example_image_pair),
    "inception_fid": Network(
        metric_networks.inception_v3("fid"), metric_networks.inception_entries, metric_networks.example_images
    ),
    "inception_v3": Network(
        metric_networks.inception_v3("torchvision"), metric_networks.inception_entries, metric_networks.example_images
    ),
}


def load_torch(network: str, state_dict: Mapping[str, Any], config: Config) -> tuple[nn.Module, layout.Variables]:
    """Returns our module and its variables from a state dict of the authors' code.

    Args:
      network: one of `NETWORKS`.
      state_dict: key -> NumPy array or PyTorch tensor.
      config: the authors' hyper-parameters of that network, and its `image_size` and `frames` if it has them.
    Raises:
      UserError: the network is unknown, the config lacks a field, or keys are unknown, missing or have wrong shapes.
    """
    if network not in NETWORKS:
        raise UserError(f"unknown network {network!r}: choose from {', '.join(NETWORKS)}", "network", network)
    row = NETWORKS[network]
    try:
        module, entries, inputs = row.module(config), row.entries(config), row.example_inputs(config)
    except KeyError as error:
        raise UserError(f"the config of {network} has no field {error}", field=str(error.args[0])) from error
    expected = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    arrays = {key: _to_numpy(value) for key, value in state_dict.items()}
    return module, jax.tree.map(jnp.asarray, layout.to_variables(network, entries, arrays, expected))


def to_torch(network: str, variables: layout.Variables, config: Config) -> dict[str, np.ndarray]:
    """Returns a state dict of NumPy arrays: the inverse of `load_torch`. `variables` may be incomplete (gradients)."""
    return layout.to_state(NETWORKS[network].entries(config), variables)


def _to_numpy(value: Any) -> np.ndarray:
    """Returns a NumPy array, also of a tensor that requires gradients or is on another device."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
