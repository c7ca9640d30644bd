"""The state of training: everything that changes from step to step."""

from typing import Any

import jax
from flax import struct

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
