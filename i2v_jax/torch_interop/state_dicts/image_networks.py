"""The authors' image autoencoder and its encoder: config -> module, and our path of each key.

The names on their side are torchvision's (encoder) and those of a PyTorch port of BigGAN (decoder).
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.models import biggan, image_autoencoder, resnet2d
from i2v_jax.torch_interop.state_dicts import layout
from i2v_jax.torch_interop.state_dicts.layout import Entry

Config = Mapping[str, Any]
_UNUSED_ATTENTION = 192, 24, 96  # channels of its input, of queries and keys, of values
_POINTWISE_TO_LINEAR = layout.Transform(lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])


def image_autoencoder_module(config: Config) -> image_autoencoder.ImageAutoencoder:
    """Returns the module for z_dim, in_size, norm and encoder_type of `config_stage2_AE.yaml`.

    Raises:
      UserError: the config asks for ActNorm in the decoder, which no released model has.
    """
    if config.get("use_actnorm_in_dec"):
        raise UserError("unsupported value for use_actnorm_in_dec: True (must be False)", "use_actnorm_in_dec", True)
    return image_autoencoder.ImageAutoencoder(
        z_dim=config["z_dim"], size=config["in_size"], norm=config["norm"], depth=config["encoder_type"]
    )


def image_encoder_module(config: Config) -> image_autoencoder.ImageEncoder:
    """Returns the module for z_dim, in_size, norm and encoder_type of the authors' config."""
    return image_autoencoder.ImageEncoder(z_dim=config["z_dim"], norm=config["norm"], depth=config["encoder_type"])


def example_images(config: Config) -> tuple[Any, ...]:
    """Returns one image [1, in_size, in_size, 3]."""
    return (jnp.zeros((1, config["in_size"], config["in_size"], 3)),)


def image_encoder_entries(config: Config) -> list[Entry]:
    """Returns the keys of `encoder_stage2.pth`."""
    return _encoder_entries("model", "", config)


def image_autoencoder_entries(config: Config) -> list[Entry]:
    """Returns the keys of encoder and decoder, which start with `encoder.` and `decoder.`."""
    return [*_encoder_entries("encoder.model", "encoder/", config), *_decoder_entries(config)]


def _encoder_entries(theirs: str, ours: str, config: Config) -> list[Entry]:
    norm, depth = config["norm"], config["encoder_type"]
    entries = _conv_norm(f"{theirs}.conv1", f"{theirs}.bn1", f"{ours}resnet/stem", norm)
    convs = 3 if resnet2d.is_bottleneck(depth) else 2
    for stage, blocks in enumerate(resnet2d.STAGES[depth]):
        for block in range(blocks):
            block_theirs = f"{theirs}.layer{stage + 1}.{block}"
            block_ours = f"{ours}resnet/stage{stage}_block{block}"
            for index in range(convs):
                names = f"{block_theirs}.conv{index + 1}", f"{block_theirs}.bn{index + 1}"
                entries += _conv_norm(*names, f"{block_ours}/layers_{index}", norm)
            # A bottleneck widens in its first block already; a pair of 3x3 only where a stage does.
            if block == 0 and (stage > 0 or resnet2d.is_bottleneck(depth)):
                names = f"{block_theirs}.downsample.0", f"{block_theirs}.downsample.1"
                entries += _conv_norm(*names, f"{block_ours}/shortcut", norm)
    return [
        *entries,
        Entry(f"{theirs}.fc.sub_layers.0.weight", f"params/{ours}head/kernel", _POINTWISE_TO_LINEAR),
        Entry(f"{theirs}.fc.sub_layers.0.bias", f"params/{ours}head/bias"),
    ]


def _conv_norm(conv: str, norm: str, ours: str, kind: resnet2d.Norm) -> list[Entry]:
    kernel = Entry(f"{conv}.weight", f"params/{ours}/conv/kernel", layout.CONV2D)
    return [kernel] if kind == "in" else [kernel, *_batch_norm(norm, f"{ours}/norm")]


def _batch_norm(theirs: str, ours: str, affine: bool = True) -> list[Entry]:
    entries = [
        Entry(f"{theirs}.running_mean", f"batch_stats/{ours}/mean"),
        Entry(f"{theirs}.running_var", f"batch_stats/{ours}/var"),
        layout.batches_tracked(theirs),
    ]
    if affine:
        entries += [Entry(f"{theirs}.weight", f"params/{ours}/scale"), Entry(f"{theirs}.bias", f"params/{ours}/bias")]
    return entries


def _spectral(theirs: str, ours: str, transform: layout.Transform, bias: bool = True) -> list[Entry]:
    """Returns the entries of a layer of the decoder. Its `weight_v`, as long as `weight_u`, is stored but not read."""
    entries = [
        Entry(f"{theirs}.module.weight_bar", f"params/{ours}/kernel", transform),
        Entry(f"{theirs}.module.weight_u", f"spectral/{ours}/u"),
        Entry(f"{theirs}.module.weight_v", "", derive=np.zeros_like, sources=(f"spectral/{ours}/u",)),
    ]
    return [*entries, Entry(f"{theirs}.module.bias", f"params/{ours}/bias")] if bias else entries


def _decoder_entries(config: Config) -> list[Entry]:
    entries = []
    for index in range(image_autoencoder.CLASS_LAYERS + 1):
        theirs, ours = f"decoder.map_to_class_embedding.main.{2 * index}", f"params/decoder/class_layers_{index}"
        entries += [
            Entry(f"{theirs}.weight", f"{ours}/kernel", layout.LINEAR),
            Entry(f"{theirs}.bias", f"{ours}/bias"),
        ]
    theirs, ours = "decoder.decoder", "decoder/generator"
    entries.append(Entry(f"{theirs}.linear.weight", f"params/{ours}/embed/kernel", layout.LINEAR))
    entries += _spectral(f"{theirs}.G_linear", f"{ours}/first_map", layout.LINEAR)
    for block in range(len(biggan.widths(config["in_size"]))):
        entries += _block_entries(f"{theirs}.GBlock.{block}", f"{ours}/blocks_{block}")
    if config["in_size"] >= biggan.ATTENTION_FROM:
        entries += _attention_entries(f"{theirs}.attention", f"{ours}/attention")
    else:
        entries += _unused_attention_entries(f"{theirs}.attention")
    entries += _batch_norm(f"{theirs}.ScaledCrossReplicaBN", f"{ours}/norm")
    return entries + _spectral(f"{theirs}.colorize", f"{ours}/output", layout.CONV2D)


def _block_entries(theirs: str, ours: str) -> list[Entry]:
    entries = []
    for name, renamed in (("conv0", "conv0"), ("conv1", "conv1"), ("conv_sc", "shortcut")):
        entries += _spectral(f"{theirs}.{name}", f"{ours}/{renamed}", layout.CONV2D)
    for name, renamed in (("HyperBN", "norm0"), ("HyperBN_1", "norm1")):
        entries += _batch_norm(f"{theirs}.{name}.bn", f"{ours}/{renamed}/norm", affine=False)
        entries += _spectral(f"{theirs}.{name}.gamma_embed", f"{ours}/{renamed}/gamma", layout.LINEAR, bias=False)
        entries += _spectral(f"{theirs}.{name}.beta_embed", f"{ours}/{renamed}/beta", layout.LINEAR, bias=False)
    return entries


def _attention_entries(theirs: str, ours: str) -> list[Entry]:
    entries = [Entry(f"{theirs}.gamma", f"params/{ours}/gamma")]
    for name, renamed in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o_conv", "output")):
        entries += _spectral(f"{theirs}.{name}", f"{ours}/{renamed}", layout.CONV2D, bias=False)
    return entries


def _unused_attention_entries(theirs: str) -> list[Entry]:
    """Returns the entries of an attention layer that state dicts of 64x64 decoders contain, but that is not used."""
    width, inner, values = _UNUSED_ATTENTION
    entries = [layout.constant(f"{theirs}.gamma", np.zeros(1, np.float32))]
    for name, shape in {
        "theta": (inner, width), "phi": (inner, width), "g": (values, width), "o_conv": (width, values)
    }.items():  # fmt: skip
        weight, vector = np.zeros((*shape, 1, 1), np.float32), np.zeros(shape[0], np.float32)
        for kind, value in (("bar", weight), ("u", vector), ("v", vector)):
            entries.append(layout.constant(f"{theirs}.{name}.module.weight_{kind}", value))
    return entries
