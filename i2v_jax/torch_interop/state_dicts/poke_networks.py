"""State dicts of the poke model's networks: the authors' config -> module, and our path of each key."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError
from i2v_jax.models import poke_model
from i2v_jax.models.convgru import GATES, KERNEL
from i2v_jax.models.discriminators import PatchDiscriminator, PatchTemporalDiscriminator, halving_stages
from i2v_jax.torch_interop.state_dicts.layout import CONV2D, CONV2D_TRANSPOSED, SAME, Entry
from i2v_jax.torch_interop.state_dicts.video_networks import affine_entries, block_entries, conv_entries

Config = Mapping[str, Any]
_PATCH_WIDTH = 64
NARROWEST = 32
# Variants of the release that no fixture shows, and the value that each of its switches must have.
MODEL_SWITCHES = {
    "zeroflow_baseline": False,
    "disentanglement": False,
    "poke_and_img": False,
    "use_skip_model": True,
    "spectnorm_decoder": False,
    "poke_scale": False,
}
_PATCH_SWITCHES = {"pixel_dynamics": False, "bce_loss": False, "deep_disc": False}
_TEMPORAL_SWITCHES = {"bce_loss": False, "patch_temp_disc": False, "conditional": False}
_GATES_THERE = {"update": "update_gate", "reset": "reset_gate", "candidate": "out_gate"}


def _check(config: Config, switches: Mapping[str, bool]) -> None:
    for name, needed in switches.items():
        if config[name] != needed:
            raise UserError(f"unsupported value for {name}: {config[name]} (must be {needed})", name, config[name])


def poke_networks(config: Config) -> dict[str, Any]:
    """Returns the module with the four networks of the poke model."""
    _check(config, MODEL_SWITCHES)
    if config["nf_first"] != NARROWEST:
        raise UserError(
            f"unsupported value for nf_first: {config['nf_first']} (must be {NARROWEST})",
            "nf_first",
            config["nf_first"],
        )
    return poke_model.build(
        size=config["image_size"],
        features=config["nf_deep"],
        min_spatial_size=config["min_spatial_size"],
        poke_over_time="constant" if config["poke_every_t"] else "impulse",
    )


def poke_model_module(config: Config) -> poke_model.PokeModel:
    return poke_model.PokeModel(**poke_networks(config), frames=config["frames"])


def example_start_frame_and_poke(config: Config) -> tuple[jax.Array, jax.Array]:
    size = config["image_size"]
    return jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 2))


def poke_model_entries(config: Config) -> list[Entry]:
    networks = poke_networks(config)
    features, widths = networks["object_encoder"].features, networks["object_encoder"].widths
    poke_widths = networks["poke_encoder"].widths
    entries: list[Entry] = []
    for index in range(len(widths)):
        entries += conv_entries(
            f"shape_enc.blocks.{index}.conv", f"object_encoder/block{index}/conv", (3, 3), bias=True
        )
        entries += conv_entries(
            f"dynamics_enc.model.{index}.conv", f"poke_encoder/block{index}/conv", (3, 3), bias=True
        )
    entries += _block("shape_enc.bottleneck", "object_encoder/bottleneck", widths[-1], features)
    entries += _block("dynamics_enc.bottleneck.0", "poke_encoder/bottleneck0", poke_widths[-1], features)
    entries += _block("dynamics_enc.bottleneck.1", "poke_encoder/bottleneck1", features, features)
    channels = (features, *widths[::-1])  # of the object states
    for index, width in enumerate(channels):
        entries += _cell(index, width, upsample=index > 1)
    entries += _block("dec.in_block", "decoder/first", features, widths[-1])
    for index, width in enumerate((*channels[2:], channels[-1])):
        entries += _block(f"dec.blocks.{index}", f"decoder/block{index}", 2 * channels[index + 1], width, upsample=True)
    return [*entries, *conv_entries("dec.out_conv.conv", "decoder/to_rgb", (3, 3), bias=True)]


def _block(theirs: str, ours: str, channels: int, features: int, upsample: bool = False) -> Iterator[Entry]:
    """Returns the entries of a residual block, whose first convolution and shortcut are one convolution here."""
    widened = upsample or channels != features
    for index, name in enumerate(("conv1", "res_conv") if widened else ("conv1",)):
        columns = (index * features, (index + 1) * features)
        kernel = CONV2D_TRANSPOSED if upsample else CONV2D
        yield Entry(f"{theirs}.{name}.conv.weight", f"params/{ours}/first/kernel", kernel, columns)
        yield Entry(f"{theirs}.{name}.conv.bias", f"params/{ours}/first/bias", SAME, columns)
    yield from conv_entries(f"{theirs}.conv2.conv", f"{ours}/second", (3, 3), bias=True)


def _cell(index: int, features: int, upsample: bool) -> Iterator[Entry]:
    theirs, ours = f"fusion_block.cells.{index}", f"params/dynamics/cell{index}"
    for position, gate in enumerate(GATES):
        columns = (position * features, (position + 1) * features)
        yield Entry(f"{theirs}.{_GATES_THERE[gate]}.weight", f"{ours}/{KERNEL}", CONV2D, columns)
        yield Entry(f"{theirs}.{_GATES_THERE[gate]}.bias", f"{ours}/bias", SAME, columns)
    if upsample:
        yield Entry(f"{theirs}.up_gate.weight", f"{ours}/up_kernel", CONV2D_TRANSPOSED)
        yield Entry(f"{theirs}.up_gate.bias", f"{ours}/up_bias")


def poke_patch_discriminator(config: Config) -> PatchDiscriminator:
    _check(config, _PATCH_SWITCHES)
    return PatchDiscriminator(width=_PATCH_WIDTH, layers=config["n_layers"], norm="instance", spectral_norm=False)


def poke_patch_discriminator_entries(config: Config) -> list[Entry]:
    layers = config["n_layers"]
    names = ["in_conv", *(f"layers.{layer}" for layer in range(layers)), "out_conv"]
    return [
        entry for index, name in enumerate(names) for entry in conv_entries(name, f"conv{index}", (4, 4), bias=True)
    ]


def example_images(config: Config) -> tuple[jax.Array]:
    size = config["image_size"]
    return (jnp.zeros((1, size, size, 3)),)


def poke_temporal_discriminator(config: Config) -> PatchTemporalDiscriminator:
    _check(config, _TEMPORAL_SWITCHES)
    if config["num_classes"] != 1:
        raise UserError(
            f"unsupported value for num_classes: {config['num_classes']} (must be 1)",
            "num_classes",
            config["num_classes"],
        )
    return PatchTemporalDiscriminator()


def poke_temporal_discriminator_entries(config: Config) -> list[Entry]:
    module = poke_temporal_discriminator(config)
    channels, _, _ = halving_stages(module.width, config["frames"])
    entries = [
        *conv_entries("conv1", "trunk/stem", (3, 7, 7), spectral=True),
        *affine_entries("gn1", "trunk/stem_norm"),
        *conv_entries("final", "logits", (3, 3), bias=True),
    ]
    for stage in range(len(channels) - 1):
        theirs = f"layers.{stage - 1}" if stage else "layer1"
        for block in range(2):
            # Every stage changes the size or the width, so its first block has its own shortcut.
            ours = f"trunk/stage{stage}_block{block}"
            entries += block_entries(f"{theirs}.{block}", ours, (3, 3), shortcut=block == 0, spectral=True)
    return entries
