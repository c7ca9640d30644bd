"""State dicts of the video cVAE-GAN's networks: the authors' config -> module, and our path of each key."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.models.discriminators import PatchDiscriminator, TemporalDiscriminator
from i2v_jax.models.resnet3d import BLOCKS, BOTTLENECK_EXPANSION, VideoEncoder, is_bottleneck
from i2v_jax.models.video_decoder import VideoDecoder
from i2v_jax.torch_interop.state_dicts.layout import (
    CONV2D,
    CONV3D,
    LINEAR,
    SAME,
    Entry,
    Transform,
    constant,
    reshape,
    spectral_v,
)

Config = Mapping[str, Any]


def conv_entries(
    key: str, path: str, kernel_size: tuple[int, ...], bias: bool = False, spectral: bool = False
) -> Iterator[Entry]:
    """Returns the entries of a 2D or 3D convolution."""
    kernel = CONV2D if len(kernel_size) == 2 else CONV3D
    yield Entry(f"{key}.weight_orig" if spectral else f"{key}.weight", f"params/{path}/kernel", kernel)
    if bias:
        yield Entry(f"{key}.bias", f"params/{path}/bias")
    if spectral:
        yield Entry(f"{key}.weight_u", f"spectral/{path}/u")
        yield Entry(f"{key}.weight_v", f"spectral/{path}/v", spectral_v(kernel_size))


def affine_entries(key: str, path: str) -> Iterator[Entry]:
    """Returns the entries of a norm's scale and bias."""
    yield Entry(f"{key}.weight", f"params/{path}/scale")
    yield Entry(f"{key}.bias", f"params/{path}/bias")


def block_entries(
    theirs: str, ours: str, sizes: tuple[int, ...], shortcut: bool, spectral: bool = False
) -> Iterator[Entry]:
    """Returns the entries of a residual block of the 3D ResNet with convolutions of these sizes."""
    for index, size in enumerate(sizes, start=1):
        yield from conv_entries(f"{theirs}.conv{index}", f"{ours}/conv{index}", (size,) * 3, spectral=spectral)
        yield from affine_entries(f"{theirs}.bn{index}", f"{ours}/conv{index}_norm")
    if shortcut:
        yield from conv_entries(f"{theirs}.downsample.0", f"{ours}/shortcut", (3, 3, 3), spectral=spectral)
        yield from affine_entries(f"{theirs}.downsample.1", f"{ours}/shortcut_norm")


def _trunk(config: Config, depth: str, spectral: bool) -> Iterator[Entry]:
    """Returns the entries of the 3D ResNet that the video encoder and the temporal discriminator share."""
    yield from conv_entries("conv1", "trunk/stem", (3, 7, 7))
    yield from affine_entries("norm1", "trunk/stem_norm")
    bottleneck = is_bottleneck(depth)
    sizes = (1, 3, 1) if bottleneck else (3, 3)
    width = config["channels"][0]
    stages = zip(config["channels"][1:], config["stride_t"], config["stride_s"], BLOCKS[depth], strict=True)
    for stage, (features, stride_t, stride_s, blocks) in enumerate(stages):
        features_out = features * BOTTLENECK_EXPANSION if bottleneck else features
        for block in range(blocks):
            shortcut = block == 0 and (stride_t != 1 or stride_s != 1 or width != features_out)
            theirs, ours = f"layer.{stage}.{block}", f"trunk/stage{stage}_block{block}"
            yield from block_entries(theirs, ours, sizes, shortcut, spectral and block == 0)
        width = features_out


def _depth(config: Config) -> Any:
    depth = config["res_type_encoder"]
    if depth not in BLOCKS:
        raise UserError(
            f"invalid value for res_type_encoder: {depth!r} (must be one of {', '.join(BLOCKS)})",
            "res_type_encoder",
            depth,
        )
    return depth


def video_encoder(config: Config) -> VideoEncoder:
    """Returns the module for z_dim, channels, stride_t, stride_s, res_type_encoder and use_max_pool of `config`.

    Raises:
      UserError: an unknown res_type_encoder.
    """
    return VideoEncoder(
        z_dim=config["z_dim"],
        channels=tuple(config["channels"]),
        stride_t=tuple(config["stride_t"]),
        stride_s=tuple(config["stride_s"]),
        depth=_depth(config),
        max_pool=config["use_max_pool"],
    )


def video_encoder_entries(config: Config) -> list[Entry]:
    """Returns the keys of the trunk, conv_mu and conv_var."""
    return [
        *_trunk(config, _depth(config), spectral=False),
        *conv_entries("conv_mu", "mean", (4, 4), bias=True),
        *conv_entries("conv_var", "logvar", (4, 4), bias=True),
    ]


def temporal_discriminator(config: Config) -> TemporalDiscriminator:
    """Returns the module for channels, stride_t, stride_s and spectral_norm of the authors' config.

    Raises:
      UserError: the config asks for a trunk other than a resnet18 with max pool.
    """
    if _depth(config) != "resnet18" or not config["use_max_pool"]:
        raise UserError(
            "unsupported temporal discriminator (must have res_type_encoder resnet18 and use_max_pool True)",
            "res_type_encoder",
            config.get("res_type_encoder"),
        )
    return TemporalDiscriminator(
        channels=tuple(config["channels"]),
        stride_t=tuple(config["stride_t"]),
        stride_s=tuple(config["stride_s"]),
        spectral_norm=config["spectral_norm"],
    )


def temporal_discriminator_entries(config: Config) -> list[Entry]:
    """Returns the keys of the trunk, and of the linear map fc without bias."""
    return [
        *_trunk(config, "resnet18", spectral=config["spectral_norm"]),
        Entry("fc.weight", "params/logits/kernel", LINEAR),
    ]


def example_video(config: Config) -> tuple[jax.Array]:
    """Returns one video for the encoder and the temporal discriminator, [1, frames, image_size, image_size, 3]."""
    size = config["image_size"]
    return (jnp.zeros((1, config["frames"], size, size, 3)),)


def video_decoder(config: Config) -> VideoDecoder:
    """Returns the module for z_dim, channel_factor, upsample_t, upsample_s and spectral_norm of the authors' config."""
    return VideoDecoder(
        z_dim=config["z_dim"],
        channel_factor=config["channel_factor"],
        upsample_t=tuple(config["upsample_t"]),
        upsample_s=tuple(config["upsample_s"]),
        spectral_norm=config["spectral_norm"],
    )


def video_decoder_entries(config: Config) -> list[Entry]:
    """Returns the keys of fc, of the blocks head_0 and g_0 to g_4, and of conv_img."""
    width, spectral = config["channel_factor"], config["spectral_norm"]
    entries = [
        Entry("fc.weight", "params/fc/kernel", _channels_last_rows(4 * 4)),
        Entry("fc.bias", "params/fc/bias", _channels_last_rows(4 * 4)),
        *conv_entries("conv_img", "to_rgb", (3, 3, 3), bias=True),
    ]
    channels = [multiple * width for multiple in (16, 16, 16, 8, 4, 2, 1)]
    for block, theirs in enumerate(("head_0", "g_0", "g_1", "g_2", "g_3", "g_4")):
        ours = f"block{block}"
        channels_in, channels_out = channels[block : block + 2]
        entries += [
            *conv_entries(f"{theirs}.conv_0", f"{ours}/conv0", (3, 3, 3), bias=True, spectral=spectral),
            *conv_entries(f"{theirs}.conv_1", f"{ours}/conv1", (3, 3, 3), bias=True, spectral=spectral),
            *conv_entries(f"{theirs}.norm_0.conv", f"{ours}/spade/hidden", (3, 3), bias=True),
            Entry(f"{theirs}.norm_1.linear.weight", f"params/{ours}/adain/gamma_beta/kernel", LINEAR),
            Entry(f"{theirs}.norm_1.linear.bias", f"params/{ours}/adain/gamma_beta/bias"),
        ]
        for name, columns in (("gamma", (0, channels_in)), ("beta", (channels_in, 2 * channels_in))):
            for kind, leaf, transform in (("weight", "kernel", CONV2D), ("bias", "bias", SAME)):
                path = f"params/{ours}/spade/gamma_beta/{leaf}"
                entries.append(Entry(f"{theirs}.norm_0.conv_{name}.{kind}", path, transform, columns))
        if channels_in != channels_out:
            entries += [
                *conv_entries(f"{theirs}.conv_s", f"{ours}/shortcut", (1, 1, 1), spectral=spectral),
                *affine_entries(f"{theirs}.norm_s.bn", f"{ours}/shortcut_norm"),
            ]
    return entries


def _channels_last_rows(positions: int) -> Transform:
    """Returns the change of layout of a linear map onto (C, positions), or of its bias, to one onto (positions, C)."""

    def to_jax(array: np.ndarray) -> np.ndarray:
        rows = array.reshape(-1, positions, *array.shape[1:]).swapaxes(0, 1)
        return rows.reshape(array.shape).T

    def to_torch(array: np.ndarray) -> np.ndarray:
        rows = array.T
        return rows.reshape(positions, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)

    return Transform(to_jax, to_torch)


def example_start_frame_and_latent(config: Config) -> tuple[jax.Array, jax.Array]:
    """Returns inputs of the decoder, [1, image_size, image_size, 3] and [1, z_dim]."""
    size = config["image_size"]
    return jnp.zeros((1, size, size, 3)), jnp.zeros((1, config["z_dim"]))


def patch_discriminator(config: Config) -> PatchDiscriminator:
    """Returns the module for ndf, n_layers and spectral_norm of the authors' config.

    Raises:
      UserError: use_actnorm is off: its batch norms are not read.
    """
    if not config["use_actnorm"]:
        raise UserError("unsupported value for use_actnorm: False (must be True)", "use_actnorm", False)
    return PatchDiscriminator(width=config["ndf"], layers=config["n_layers"], spectral_norm=config["spectral_norm"])


def patch_discriminator_entries(config: Config) -> list[Entry]:
    """Returns the keys main.N, N counting convolutions, norms and activations."""
    width, layers, spectral = config["ndf"], config["n_layers"], config["spectral_norm"]
    entries = [*conv_entries("main.0", "conv0", (4, 4), bias=True, spectral=spectral)]
    for layer in range(1, layers + 1):
        position = 3 * layer - 1  # conv, norm, activation; the first layer has no norm
        channels = width * min(2**layer, 8)
        vector = reshape((1, channels, 1, 1), (channels,))
        entries += [
            *conv_entries(f"main.{position}", f"conv{layer}", (4, 4), bias=True, spectral=spectral),
            Entry(f"main.{position + 1}.loc", f"params/norm{layer}/loc", vector),
            Entry(f"main.{position + 1}.scale", f"params/norm{layer}/scale", vector),
            constant(f"main.{position + 1}.initialized", np.ones((), np.uint8)),
        ]
    return [
        *entries,
        *conv_entries(f"main.{3 * layers + 2}", f"conv{layers + 1}", (4, 4), bias=True, spectral=spectral),
    ]


def example_images(config: Config) -> tuple[jax.Array]:
    """Returns one image [1, image_size, image_size, in_channels]."""
    size = config["image_size"]
    return (jnp.zeros((1, size, size, config["in_channels"])),)
