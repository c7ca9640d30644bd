"""The device mesh, and how arrays are sharded over it.

The mesh has three axes, that with the slowest links first:

    replica   slices of TPUs or nodes of GPUs: each has the whole state
    data      devices that share moments and averages with `mesh.shard_optimizer`, otherwise nothing of the state
    fsdp      devices that share parameters, moments and averages

A batch is split over all of them.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from i2v_jax.errors import UserError

AXES = ("replica", "data", "fsdp")
REPLICATED = "replicated"


def make_mesh(config: ConfigDict, devices: Sequence[Any] | None = None) -> Mesh:
    """Returns a mesh of `devices` (by default all) with `config.replica` x `config.data` x `config.fsdp` devices.

    Raises:
      UserError: the product is not the number of devices, or the devices cannot be arranged in this way.
    """
    devices = jax.devices() if devices is None else devices
    sizes = mesh_sizes(config, len(devices))
    try:
        arranged = arrange(sizes, devices)
    except (NotImplementedError, ValueError) as error:  # both say that JAX finds no layout of these sizes
        raise _mesh_error(config, f"cannot be laid out on these devices ({error}): choose other sizes") from error
    return Mesh(arranged, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def mesh_sizes(config: ConfigDict, devices: int) -> tuple[int, ...]:
    """Returns the sizes of `AXES` for a number of devices; -1 stands for the rest.

    Raises:
      UserError: the product is not the number of devices.
    """
    wanted = tuple(config[axis] for axis in AXES)
    rest = devices // max(math.prod(size for size in wanted if size != -1), 1)
    sizes = tuple(rest if size == -1 else size for size in wanted)
    if wanted.count(-1) > 1 or math.prod(sizes) != devices:
        raise _mesh_error(config, f"does not fit {devices} devices (must be their product)")
    return sizes


def _mesh_error(config: ConfigDict, problem: str) -> UserError:
    wanted = tuple(config[axis] for axis in AXES)
    named = " ".join(f"{axis}={size}" for axis, size in zip(AXES, wanted, strict=True))
    return UserError(f"mesh {named} {problem}", "mesh", wanted)


def arrange(sizes: Sequence[int], devices: Sequence[Any]) -> np.ndarray:
    """Returns the devices as an array of shape `sizes`, in which neighbors along the last axes have the fastest links.

    Devices of several slices (of TPUs; of GPUs, nodes or NVLink domains) are divided among the slices along the first
    axes first.
    """
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    outer, left = [], slices
    for size in sizes:
        outer.append(math.gcd(size, left))
        left //= outer[-1]
    inner = [size // across for size, across in zip(sizes, outer, strict=True)]
    return mesh_utils.create_hybrid_device_mesh(inner, outer, devices, allow_split_physical_axes=True)


def check_batch_size(name: str, batch_size: int, mesh: Mesh | AbstractMesh, accumulate: int = 1) -> None:
    """Raises UserError if the parts of a batch whose gradients are accumulated cannot be split over the devices."""
    if batch_size % (mesh.size * accumulate):
        parts = f" times {name}.accumulate={accumulate}" if accumulate > 1 else ""
        raise UserError(
            f"{name}.batch_size={batch_size} is not a multiple of the {mesh.size} devices{parts}: change one of them",
            f"{name}.batch_size",
            batch_size,
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding with the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of the leading axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def global_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Returns device arrays of the global batch, from the slice that this process read."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def traced_on(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function`, which may look for its mesh with `jax.sharding.get_abstract_mesh` while it is traced."""

    def on_mesh(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*arguments)

    return on_mesh


@dataclasses.dataclass(frozen=True)
class Rule:
    """How the arrays are sharded whose name has a match of a pattern.

    Attributes:
      text: the rule as a user writes it, "PATTERN=replicated", "PATTERN=AXES" or "PATTERN=AXES:DIMENSION". AXES are
        axes of the mesh, joined by "+".
      pattern: searched in names like `params/decoder/block0/conv0/kernel`.
      axes: of the mesh, over which the array is split; empty: replicated.
      dimension: of the array, which is split; None: the largest that the devices divide.
    """

    text: str
    pattern: re.Pattern[str]
    axes: tuple[str, ...]
    dimension: int | None

    def spec(self, name: str, shape: tuple[int, ...], mesh: Mesh | AbstractMesh) -> PartitionSpec:
        """Returns how an array is split. Raises UserError if the devices do not divide it."""
        if self.dimension is None:
            return split_largest(shape, self.axes, mesh)
        ways = math.prod(mesh.shape[axis] for axis in self.axes)
        if not -len(shape) <= self.dimension < len(shape) or shape[self.dimension] % ways:
            raise UserError(
                f"mesh.rules: {self.text!r} does not fit {name}, whose shape is {shape}: {ways} devices cannot split "
                f"dimension {self.dimension}",
                "mesh.rules",
                self.text,
            )
        split = self.dimension % len(shape)
        return _spec([self.axes if dimension == split else () for dimension in range(len(shape))])


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Returns the rules of `mesh.rules`, see `Rule.text`. Raises UserError for one that is none."""
    return tuple(map(_parse_rule, texts))


def _parse_rule(text: str) -> Rule:
    pattern, equals, layout = text.rpartition("=")
    axes, _, dimension = layout.partition(":")
    names = () if layout == REPLICATED else tuple(axes.split("+"))
    try:
        if not equals or not set(names) <= set(AXES) or len(set(names)) < len(names):
            raise ValueError(layout)
        return Rule(text, re.compile(pattern), names, int(dimension) if dimension else None)
    except (ValueError, re.error) as error:
        raise UserError(
            f"invalid value for mesh.rules: {text!r} ({error}; must be PATTERN={REPLICATED}, PATTERN=AXES or "
            f"PATTERN=AXES:DIMENSION, where AXES are {', '.join(AXES)}, joined by +)",
            "mesh.rules",
            text,
        ) from error


def split_largest(shape: tuple[int, ...], axes: Iterable[str], mesh: Mesh | AbstractMesh) -> PartitionSpec:
    """Returns a split of an array over axes of the mesh, each along the largest dimension that its devices divide.

    After the first axis, "largest" is what is left of a dimension on a device. An axis that divides no dimension is
    left out.
    """
    split: list[tuple[str, ...]] = [()] * len(shape)
    left = list(shape)
    for axis in axes:
        ways = mesh.shape[axis]
        divisible = [dimension for dimension, size in enumerate(left) if size % ways == 0]
        if ways == 1 or not divisible:
            continue
        largest = max(divisible, key=left.__getitem__)
        split[largest] = (*split[largest], axis)
        left[largest] //= ways
    return _spec(split)


def _spec(split: Sequence[tuple[str, ...]]) -> PartitionSpec:
    """Returns the spec of an array, given the axes that split each of its dimensions."""
    return (
        PartitionSpec(*(names[0] if len(names) == 1 else names or None for names in split))
        if any(split)
        else PartitionSpec()
    )
