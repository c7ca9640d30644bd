"""The memory that a stage of training needs on a CPU, estimated without compiling or running anything."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from i2v_jax.errors import UserError
from i2v_jax.tasks.base import Networks, Task, replace_params

# Copies of the parameters: themselves, their gradients, two moments and the average.
_COPIES = 5
# Upper bound of what a network of the papers keeps for its backward pass, in multiples of a batch's bytes (the video
# autoencoder at 64x64: 1,080). If even that fits, tracing, which takes seconds, is not needed.
_MOST_PER_BATCH = 2000


def check_memory(
    stage: str, make_task: Callable[[], Task], batch: Mapping[str, jax.ShapeDtypeStruct], available: int
) -> None:
    """Raises UserError if a stage needs more memory than the `available` bytes.

    Args:
      stage: name of the stage, for the message.
      make_task: makes the task of the stage.
      batch: shapes and types of its batches.
    """
    if _MOST_PER_BATCH * _bytes(batch) < available:
        return
    needed = estimate(make_task(), batch)
    if needed > available:
        size = batch["video"].shape[0]
        raise UserError(
            f"stage {stage} needs about {needed / 1e9:.0f} GB of memory, but this machine has {available / 1e9:.0f}: "
            f"set {stage}.batch_size below {size}, or use small networks, as the configs folder:demo and sky:demo do",
            f"{stage}.batch_size",
            size,
        )


def estimate(task: Task, batch: Mapping[str, jax.ShapeDtypeStruct]) -> int:
    """Returns about how many bytes a step of training needs: five copies of the parameters, and what the backward pass
    keeps of the forward pass and of the largest loss.

    The video autoencoder of `folder` (64x64 pixels, batches of 10): 16.8e9; its peak when training on a CPU: 17e9.
    """
    rng = jax.random.key(0)
    networks = jax.eval_shape(task.init_variables, rng, batch)
    params = {name: variables["params"] for name, variables in networks.items()}
    forward, *losses = jax.eval_shape(lambda *arguments: _residuals(task, *arguments), networks, batch, rng)
    return _COPIES * _bytes(params) + _bytes(forward) + max(map(_bytes, losses), default=0)


def machine_memory() -> int:
    """Returns the bytes of memory of this machine, or of its container where that has a limit."""
    total = next(line for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    limit = pathlib.Path("/sys/fs/cgroup/memory.max")
    limited = limit.read_text().strip() if limit.is_file() else "max"
    return min(int(total.split()[1]) * 1024, int(limited) if limited.isdigit() else 2**62)


def _residuals(task: Task, networks: Networks, batch: Any, rng: jax.Array) -> tuple[Any, ...]:
    """Returns what the backward passes keep: of the forward pass, then of each loss. Their leaves are the arrays."""
    networks = {**networks, **task.frozen}
    params = {name: networks[name]["params"] for name in task.modules if name in networks}
    outputs, forward, _ = jax.vjp(
        lambda params: task.forward(replace_params(networks, params), batch, rng), params, has_aux=True
    )
    losses = [
        jax.vjp(
            lambda params, outputs, update=update: update.loss(replace_params(networks, params), outputs, batch, rng),
            params, outputs, has_aux=True,
        )[1]
        for update in task.updates
    ]  # fmt: skip
    return (forward, *losses)


def _bytes(tree: Any) -> int:
    arrays = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in arrays)
