"""The hosts of a job by name: "v5e:4x4" are the chips of a TPU slice, "h100:4x8" nodes x GPUs."""

import dataclasses
import math
import re
from collections.abc import Collection

from i2v_jax.errors import UserError

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of TPU or GPU.

    Attributes:
      axes: of the grid that a slice of TPUs is; 0 for GPUs.
      per_host: devices of a host, for GPUs of the usual one.
      one_host: the other slices that are one host.
      slices: the slices that exist, up to a cube of 4x4x4 if there are `cubes`.
      cubes: of 4x4x4 chips that the largest slice consists of; 0 if `slices` are all.
    """

    axes: int
    per_host: int
    one_host: tuple[Shape, ...] = ()
    slices: tuple[Shape, ...] = ()
    cubes: int = 0

    def has_slice(self, shape: Shape) -> bool:
        """Returns whether there is a slice of so many chips along its axes."""
        cubes, rests = zip(*(divmod(chips, _CUBE) for chips in shape), strict=True)
        of_cubes = len(shape) == self.axes and not any(rests) and list(cubes) == sorted(cubes)
        return shape in self.slices or (of_cubes and math.prod(cubes) <= self.cubes)

    def described(self) -> str:
        """Returns the slices that exist, for people."""
        names = ["x".join(map(str, shape)) for shape in self.slices]
        if self.cubes:
            names.append(f"AxBxC of multiples of {_CUBE}, A <= B <= C, with at most {self.cubes * _CUBE**3} chips")
        return f"{', '.join(names[:-1])} or {names[-1]}"


# As docs.cloud.google.com/tpu/docs/v5e, v6e, v4 and v5p list them, and GKE's guide to planning TPUs.
_CUBE = 4
_GRIDS = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_PARTS_OF_A_CUBE = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
KINDS = {
    "v4": Kind(axes=3, per_host=4, slices=_PARTS_OF_A_CUBE, cubes=64),
    "v5e": Kind(axes=2, per_host=4, one_host=((1, 1), (2, 4)), slices=_GRIDS),
    "v5p": Kind(axes=3, per_host=4, slices=_PARTS_OF_A_CUBE, cubes=96),
    "v6e": Kind(axes=2, per_host=4, one_host=((1, 1), (2, 4)), slices=_GRIDS),
    "a100": Kind(axes=0, per_host=8),
    "h100": Kind(axes=0, per_host=8),
    "h200": Kind(axes=0, per_host=8),
}


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The hosts of one TPU slice, or all nodes with GPUs.

    Attributes:
      name: as a user writes it.
      kind: of its devices, a key of KINDS.
      shape: chips along the axes of a slice; (nodes, GPUs of a node), or (GPUs of the only node,).
      count: of hosts.
      per_host: devices of each host.
    """

    name: str
    kind: str
    shape: Shape
    count: int
    per_host: int

    @property
    def devices(self) -> int:
        return self.count * self.per_host


def parse_hosts(name: str, kinds: Collection[str] = tuple(KINDS)) -> Hosts:
    """Returns the hosts that a name like "v5e:4x4" or "h100:4x8" stands for.

    Raises:
      UserError: the name is not understood, its kind is none of `kinds`, or there is no such slice.
    """
    kind, _, sizes = name.partition(":")
    if kind not in kinds or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", sizes):
        message = f"unknown topology {name!r}: write KIND:AxB with a kind of {', '.join(kinds)}, as v5e:4x4 or h100:4x8"
        raise UserError(message, "topology", name)
    shape, known = tuple(map(int, sizes.split("x"))), KINDS[kind]
    if known.axes:
        per_host = math.prod(shape) if shape in known.one_host else known.per_host
        exists, rule = known.has_slice(shape), f"slices of {kind} are {known.described()}"
    else:
        per_host, exists = shape[-1], len(shape) <= 2
        rule = f"write the GPUs of a node, or nodes x GPUs, as {kind}:8 or {kind}:4x8"
    if not exists:
        raise UserError(f"there is no topology {name!r}: {rule}", "topology", name)
    return Hosts(name, kind, shape, math.prod(shape) // per_host, per_host)
