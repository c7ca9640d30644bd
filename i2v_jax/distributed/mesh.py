"""The device mesh, and how arrays are sharded over it."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from i2v_jax.errors import UserError

BATCH = PartitionSpec(("data", "fsdp"))


def make_mesh(config: ConfigDict) -> Mesh:
    """Returns a mesh with the axes `data` and `fsdp` of `config.data` x `config.fsdp` devices; -1 stands for the rest.

    Raises:
      UserError: the product is not the number of devices.
    """
    devices, sizes = jax.device_count(), [config.data, config.fsdp]
    if sizes.count(-1) == 1:
        known = max(sizes[0] * sizes[1], -sizes[0] * sizes[1])
        sizes[sizes.index(-1)] = devices // known
    if min(sizes) < 1 or sizes[0] * sizes[1] != devices:
        raise UserError(
            f"mesh data={config.data} fsdp={config.fsdp} does not fit {devices} devices (must be their product)",
            "mesh",
            (config.data, config.fsdp),
        )
    return jax.make_mesh(tuple(sizes), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))


def check_batch_size(name: str, batch_size: int, mesh: Mesh) -> None:
    """Raises UserError if a batch cannot be split evenly over the devices."""
    if batch_size % mesh.size:
        raise UserError(
            f"{name}.batch_size={batch_size} is not a multiple of the {mesh.size} devices: change one of them",
            f"{name}.batch_size",
            batch_size,
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding with the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of the leading axis over all devices."""
    return NamedSharding(mesh, BATCH)


def state_sharding(mesh: Mesh, shapes: Any, min_size: int) -> Any:
    """Returns a sharding per leaf: splits the largest axis that `fsdp` divides if it has `min_size` elements or more.

    Optimizer moments and averages have the shapes of their parameters, hence the same sharding.
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
    """Returns device arrays of the global batch, from the slice that this process read."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}
