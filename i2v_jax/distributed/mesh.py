"""The device mesh and which axis of which array lies on it."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from i2v_jax.errors import UserError

BATCH = PartitionSpec(("data", "fsdp"))


def make_mesh(config: ConfigDict) -> Mesh:
    """A mesh with the axes `data` and `fsdp`, `config.data` x `config.fsdp` devices; -1 stands for all that remain.

    Raises:
      UserError: the numbers do not fit the devices there are.
    """
    devices, sizes = jax.device_count(), [config.data, config.fsdp]
    if sizes.count(-1) == 1:
        known = max(sizes[0] * sizes[1], -sizes[0] * sizes[1])
        sizes[sizes.index(-1)] = devices // known
    if min(sizes) < 1 or sizes[0] * sizes[1] != devices:
        raise UserError(
            f"mesh data={config.data} fsdp={config.fsdp} does not fit {devices} devices: their product must be that"
        )
    return jax.make_mesh(tuple(sizes), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))


def check_batch_size(name: str, batch_size: int, mesh: Mesh) -> None:
    """Raises UserError when a batch cannot be split evenly over the devices."""
    if batch_size % mesh.size:
        raise UserError(
            f"{name}.batch_size={batch_size} is not a multiple of the {mesh.size} devices: change one of them"
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis over all devices."""
    return NamedSharding(mesh, BATCH)


def state_sharding(mesh: Mesh, shapes: Any, min_size: int) -> Any:
    """A sharding per leaf: the largest axis that `fsdp` divides is split if it has at least `min_size` elements.

    Optimizer moments and EMA have the shapes of their parameters and so the same sharding.
    """
    ways = mesh.shape["fsdp"]

    def rule(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        divisible = [axis for axis, size in enumerate(leaf.shape) if size % ways == 0]
        if ways == 1 or int(np.prod(leaf.shape)) < min_size or not divisible:
            return replicated(mesh)
        largest = max(divisible, key=lambda axis: leaf.shape[axis])
        return NamedSharding(
            mesh, PartitionSpec(*("fsdp" if axis == largest else None for axis in range(len(leaf.shape))))
        )

    return jax.tree.map(rule, shapes)


def global_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Device arrays of the global batch from the slice that this process read."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}
