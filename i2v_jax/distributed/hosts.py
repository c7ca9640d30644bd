"""The hosts of a job by name: "v5e:4x4" are the chips of a TPU slice, "h100:4x8" nodes x GPUs."""

import dataclasses
import math
import re
from collections.abc import Collection

from i2v_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of TPU or GPU.

    Attributes:
      axes: of the grid that a slice of TPUs is; 0 for GPUs.
      per_host: devices of a host, for GPUs of the usual one.
      one_host: the other slices that are one host.
    """

    axes: int
    per_host: int
    one_host: tuple[tuple[int, ...], ...] = ()


KINDS = {
    "v4": Kind(axes=3, per_host=4),
    "v5e": Kind(axes=2, per_host=4, one_host=((1, 1), (2, 4))),
    "v5p": Kind(axes=3, per_host=4),
    "v6e": Kind(axes=2, per_host=4, one_host=((1, 1), (2, 4))),
    "a100": Kind(axes=0, per_host=8),
    "h100": Kind(axes=0, per_host=8),
    "h200": Kind(axes=0, per_host=8),
}
_EXAMPLES = {0: "8 or {}:4x8 (nodes x GPUs)", 2: "4x4", 3: "2x2x4"}


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
    shape: tuple[int, ...]
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
        exists = len(shape) == known.axes and math.prod(shape) % per_host == 0
        rule = f"slices have {known.axes} axes and hosts of {known.per_host} chips"
    else:
        per_host, exists, rule = shape[-1], len(shape) <= 2, "GPUs are those of a node, or nodes x GPUs"
    if not exists:
        example = f"{kind}:{_EXAMPLES[known.axes].format(kind)}"
        raise UserError(f"there is no topology {name!r}: {rule}, as {example}", "topology", name)
    return Hosts(name, kind, shape, math.prod(shape) // per_host, per_host)
