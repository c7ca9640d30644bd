"""State dicts of the authors' conditional flow: config -> module, and our path of each key."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from i2v_jax.models.flow import ConditionalFlow
from i2v_jax.torch_interop.state_dicts import layout

_PERMUTATION = layout.Transform(lambda a: a.astype(np.int32), lambda a: a.astype(np.int64))


def flow(config: Mapping[str, Any]) -> ConditionalFlow:
    """Returns the module for z_dim, n_flows, hidden_dim, hidden_depth and control of `config`."""
    return ConditionalFlow(
        z_dim=config["z_dim"],
        blocks=config["n_flows"],
        hidden=config["hidden_dim"],
        depth=config["hidden_depth"],
        control=config["control"],
    )


def example_latent_and_condition(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns z [1, z_dim] and a condition [1, embedding_dim], which includes the one-hots of eta with control."""
    return jnp.zeros((1, config["z_dim"])), jnp.zeros((1, config["embedding_dim"]))


def flow_entries(config: Mapping[str, Any]) -> list[layout.Entry]:
    """Returns the keys of `cINN.pth`. The inverse permutation and the flag of ActNorm follow from other keys."""
    channels = config["z_dim"]
    vector = layout.reshape((1, channels, 1, 1), (channels,))
    entries = []
    for block in range(config["n_flows"]):
        theirs, ours = f"sub_layers.{block}", f"layers_{block}"
        permutation = f"buffers/{ours}/permutation"
        entries += [
            layout.Entry(f"{theirs}.norm_layer.loc", f"params/{ours}/norm/loc", vector),
            layout.Entry(f"{theirs}.norm_layer.scale", f"params/{ours}/norm/scale", vector),
            layout.constant(f"{theirs}.norm_layer.initialized", np.ones((), np.uint8)),
            layout.Entry(f"{theirs}.shuffle.forward_shuffle_idx", permutation, _PERMUTATION),
            layout.Entry(f"{theirs}.shuffle.backward_shuffle_idx", "", derive=np.argsort, sources=(permutation,)),
        ]
        for member, kind in enumerate("st"):
            for half in range(2):
                mlp = (f"{theirs}.coupling.{kind}.{half}.main", f"params/{ours}/couplings_{half}", member)
                entries += _mlp_entries(*mlp, layers=config["hidden_depth"] + 2)
    return entries


def _mlp_entries(theirs: str, ours: str, member: int, layers: int) -> list[layout.Entry]:
    """Returns the entries of a PyTorch Sequential, whose linear layers have even indices."""
    entries = []
    for index in range(layers):
        entries += [
            layout.Entry(f"{theirs}.{2 * index}.weight", f"{ours}/layers_{index}/kernel", layout.LINEAR, member=member),
            layout.Entry(f"{theirs}.{2 * index}.bias", f"{ours}/layers_{index}/bias", member=member),
        ]
    return entries
