"""State dict of GMFlow, the network of optical flow: its module, and our path of each key."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from i2v_jax.pretrained.networks.gmflow import MULTIPLE, GMFlow
from i2v_jax.torch_interop.state_dicts import layout
from i2v_jax.torch_interop.state_dicts.layout import Entry

Config = Mapping[str, Any]
_ATTENTION = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "merge": "merge"}
_MLP = {"mlp.0": "mlp_hidden", "mlp.2": "mlp_output"}


def gmflow_module(config: Config) -> GMFlow:
    """Returns the module; `config` has `feature_channels` and `num_transformer_layers`."""
    return GMFlow(config["feature_channels"], config["num_transformer_layers"])


def gmflow_entries(config: Config) -> list[Entry]:
    """Returns the keys of the authors' network with two scales."""
    entries = [
        _kernel("backbone.conv1", "encoder/stem", layout.CONV2D),
        *_layer("backbone.conv2", "encoder/projection", layout.CONV2D),
        _kernel("backbone.trident_conv", "encoder/output", layout.CONV2D),
        *_layer("feature_flow_attn.q_proj", "propagation/query", layout.LINEAR),
        *_layer("feature_flow_attn.k_proj", "propagation/key", layout.LINEAR),
        *_layer("upsampler.0", "upsampling/hidden", layout.CONV2D),
        *_layer("upsampler.2", "upsampling/weights", layout.CONV2D),
    ]
    for stage in range(3):
        for block in range(2):
            theirs, ours = f"backbone.layer{stage + 1}.{block}", f"encoder/stage_{stage}_{block}"
            entries += [_kernel(f"{theirs}.{name}", f"{ours}/{name}", layout.CONV2D) for name in ("conv1", "conv2")]
            if stage and not block:
                entries += _layer(f"{theirs}.downsample.0", f"{ours}/skip", layout.CONV2D)
    for index in range(config["num_transformer_layers"]):
        theirs, ours = f"transformer.layers.{index}", f"transformer/layer_{index}"
        entries += _attention(f"{theirs}.self_attn", f"{ours}_self", _ATTENTION, {"norm1": "norm"})
        norms = {"norm1": "norm", "norm2": "mlp_norm"}
        entries += _attention(f"{theirs}.cross_attn_ffn", f"{ours}_cross", _ATTENTION | _MLP, norms)
    return entries


def example_image_pair(config: Config) -> tuple[Any, ...]:
    """Returns two images of the smallest size."""
    return (jnp.zeros((1, MULTIPLE, MULTIPLE, 3)),) * 2


def _attention(theirs: str, ours: str, maps: Mapping[str, str], norms: Mapping[str, str]) -> list[Entry]:
    entries = [_kernel(f"{theirs}.{key}", f"{ours}/{name}", layout.LINEAR) for key, name in maps.items()]
    for key, name in norms.items():
        entries.append(Entry(f"{theirs}.{key}.weight", f"params/{ours}/{name}/scale"))
        entries.append(Entry(f"{theirs}.{key}.bias", f"params/{ours}/{name}/bias"))
    return entries


def _layer(theirs: str, ours: str, kernel: layout.Transform) -> list[Entry]:
    return [_kernel(theirs, ours, kernel), Entry(f"{theirs}.bias", f"params/{ours}/bias")]


def _kernel(theirs: str, ours: str, kernel: layout.Transform) -> Entry:
    return Entry(f"{theirs}.weight", f"params/{ours}/kernel", kernel)
