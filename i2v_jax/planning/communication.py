"""How long collectives take over the links of a slice or a node, and over the network beyond it."""

import math
from collections.abc import Sequence

from i2v_jax.hlo.collectives import Collective
from i2v_jax.planning.cards import Card


def seconds(collective: Collective, card: Card, shape: Sequence[int]) -> float:
    """Returns how long one run of a collective takes if it moves the fewest bytes and nothing else uses the links.

    Where the devices of a group are in several pods, it is done within the pods first, then between them.

    Args:
      collective: of all devices of `shape`, or of groups of them.
      card: the devices.
      shape: of a TPU slice; (nodes, GPUs of a node) for GPUs.
    """
    group = collective.groups[0] if collective.groups else range(math.prod(shape))
    if collective.kind in ("collective-permute", "collective-broadcast"):
        return collective.bytes / _links(card, shape, len(group))
    pods = len({device // card.pod for device in group})
    inside = math.ceil(len(group) / pods)
    trips = 2 if collective.kind == "all-reduce" else 1
    within = trips * (inside - 1) / inside * collective.bytes / _links(card, shape, inside)
    return within + trips * (pods - 1) / pods * collective.bytes / inside / card.network


def all_reduce_seconds(size: float, card: Card, devices: int) -> float:
    """Returns how long it takes to add up `size` bytes over any number of devices, in slices as square as possible."""
    inside = min(devices, card.pod)
    side = round(inside ** (1 / card.axes)) if card.axes else inside
    everyone = Collective("all-reduce", int(size), (tuple(range(devices)),), 1, "")
    return seconds(everyone, card, [side] * max(card.axes, 1))


def _links(card: Card, shape: Sequence[int], ways: int) -> float:
    """Returns the bytes per second that a device of a group of `ways` neighbors sends to the others."""
    if not card.axes:
        return card.link
    sides = sorted(shape, reverse=True)
    used = next((axes for axes in range(1, len(sides) + 1) if math.prod(sides[:axes]) >= ways), len(sides))
    directions = 1.0 if min(sides[:used]) >= card.ring else 0.5
    return card.link * used / card.axes * directions
