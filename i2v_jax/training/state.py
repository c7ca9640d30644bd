"""The state of training: everything that changes from step to step."""

import math
from typing import Any

import jax
from flax import struct
from jax.experimental.layout import Format, Layout
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from ml_collections import ConfigDict

from i2v_jax.distributed.mesh import parse_rules, split_largest
from i2v_jax.logs import logger

Tree = Any  # nested dicts of arrays


@struct.dataclass
class TrainState:
    """All fields but `step` are dicts with network names as keys; those of `opt_state` are `Update.opt_state_key`."""

    step: jax.Array  # [] int32: steps taken
    params: dict[str, Tree]
    model_state: dict[str, Tree]  # the other collections: batch_stats, spectral, buffers
    opt_state: dict[str, Tree]
    ema: dict[str, Tree]  # of the parameters of the task's `ema_networks`

    def variables(self) -> dict[str, Tree]:
        """Returns network name -> variables for `apply`."""
        return join(self.params, self.model_state)


def join(params: dict[str, Tree], model_state: dict[str, Tree]) -> dict[str, Tree]:
    """Returns network name -> {"params": ..., other collections}."""
    return {name: {"params": tree, **model_state.get(name, {})} for name, tree in params.items()}


def split(variables: dict[str, Tree]) -> tuple[dict[str, Tree], dict[str, Tree]]:
    """Inverts `join`. Returns (params, model_state)."""
    params = {name: tree["params"] for name, tree in variables.items()}
    return params, {name: {k: v for k, v in tree.items() if k != "params"} for name, tree in variables.items()}


def state_sharding(mesh: Mesh | AbstractMesh, shapes: TrainState, config: ConfigDict) -> TrainState:
    """Returns a sharding for each array of a state.

    The first of `config.rules` that matches an array's name decides. Other arrays of at least `config.fsdp_min_size`
    elements are split over `fsdp`; moments and averages also over `data` with `config.shard_optimizer` (ZeRO-1).

    Args:
      mesh: as `distributed.mesh.make_mesh` makes it.
      shapes: the state's arrays or their shapes.
      config: the fields of `mesh` in configs/fields.py.
    Raises:
      UserError: a rule is invalid, or does not fit an array that it matches.
    """
    rules = parse_rules(config.rules)
    unused = {rule.text for rule in rules}
    beside_parameters = ("fsdp", "data") if config.shard_optimizer else ("fsdp",)

    def sharding(path: Any, leaf: jax.Array) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for rule in rules:
            if rule.pattern.search(name):
                unused.discard(rule.text)
                return NamedSharding(mesh, rule.spec(name, leaf.shape, mesh))
        of_optimizer = name.startswith(("opt_state/", "ema/"))
        axes = beside_parameters if of_optimizer else ("fsdp",)
        large = math.prod(leaf.shape) >= config.fsdp_min_size
        return NamedSharding(mesh, split_largest(leaf.shape, axes if large else (), mesh))

    shardings = jax.tree_util.tree_map_with_path(sharding, shapes)
    for text in sorted(unused):
        logger.info(f"mesh.rules: {text!r} decides about no array of this stage")
    return shardings


def state_formats(shardings: TrainState, shapes: TrainState, platform: str) -> TrainState:
    """Returns the sharding of each array of a state and, for GPUs, its layout in memory.

    Kernels of convolutions [*spatial, I, O], their moments and averages lie as [O, *spatial, I], as cuDNN takes them:
    otherwise each step transposes all of them. On other devices the compiler's layout is that of the array.
    """
    if platform != "gpu":
        return shardings

    def place(leaf: jax.Array, sharding: NamedSharding) -> NamedSharding | Format:
        rank = len(leaf.shape)
        return Format(Layout((rank - 1, *range(rank - 1))), sharding) if rank > 3 else sharding

    return jax.tree.map(place, shapes, shardings)
