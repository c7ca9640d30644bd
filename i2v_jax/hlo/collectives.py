"""The communication of a program: which devices exchange what, and how often."""

import dataclasses
import math
import re
from typing import Any

import numpy as np

from i2v_jax.hlo.text import Executed, Program, Shape

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
Groups = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Collective:
    """A communication of each device with the others of its group."""

    kind: str  # one of `KINDS`
    bytes: int  # of the whole array that is reduced or gathered; otherwise of what each device gives
    groups: Groups  # of devices, by their position in the mesh; empty: all devices are one group
    times: int  # how often it runs in one run of the program
    source: str  # the operation of the traced function that it comes from
    results: tuple[Shape, ...] = ()  # what each device gets


def collectives(program: Program) -> tuple[Collective, ...]:
    """Returns all communication, in the order of the program."""
    found: dict[Any, Collective] = {}
    for executed in program.executed:
        for part in program.parts(executed):
            kind = part.instruction.opcode.removesuffix("-start")
            if kind in KINDS:
                # A TPU runs a collective beside other fusions, each of which contains it: all have its channel.
                channel = re.search(r"channel_id=(\d+)", part.instruction.attributes)
                found.setdefault(channel.group(1) if channel else id(part), _collective(kind, part))
    return tuple(found.values())


def _collective(kind: str, part: Executed) -> Collective:
    given = tuple(shape for operand in part.operands for shape in operand.shapes)
    groups = _groups(part.instruction.attributes)
    ways = len(groups[0]) if groups else 1
    whole = sum(shape.bytes for shape in given) * (ways if kind == "all-gather" else 1)
    # The type of an instruction that only starts the work names what is given, too, before the results.
    results = part.instruction.shapes[-len(given) :]
    return Collective(kind, whole, groups, part.times, part.instruction.source, results)


def _groups(attributes: str) -> Groups:
    """Returns the groups of devices: listed, reshaped from a range, or named axes of a mesh."""
    if ranged := re.search(r"replica_groups=\[([\d,]+)\]<=(\[[\d,]+\](?:T\([\d,]+\))?)", attributes):
        return _rows(_range(ranged.group(2)).reshape(_numbers(ranged.group(1))))
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(([^ ]*)\))? \{([^}]*)\}", attributes):
        sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", named.group(1))}
        total = math.prod(sizes.values())
        devices = (_range(named.group(2)) if named.group(2) else np.arange(total)).reshape(list(sizes.values()))
        together = [name in re.findall(r"'([^']+)'", named.group(3)) for name in sizes]
        order = sorted(range(len(together)), key=lambda axis: together[axis])
        ways = math.prod(size for size, chosen in zip(sizes.values(), together, strict=True) if chosen)
        return _rows(devices.transpose(order).reshape(-1, ways))
    listed = re.search(r"(?:replica_groups|source_target_pairs)=\{((?:\{[\d,]*\},?)*)\}", attributes)
    return tuple(tuple(_numbers(row)) for row in re.findall(r"\{([\d,]+)\}", listed.group(1))) if listed else ()


def _range(text: str) -> Any:
    """Returns the devices of "[2,4]T(1,0)": a range that is reshaped and transposed."""
    shape, _, order = text.removeprefix("[").partition("]")
    sizes = _numbers(shape)
    devices = np.arange(math.prod(sizes)).reshape(sizes)
    return devices.transpose(_numbers(order.strip("T()"))) if order else devices


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _rows(devices: Any) -> Groups:
    return tuple(tuple(map(int, row)) for row in devices)
