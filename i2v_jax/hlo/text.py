"""A program as XLA prints it: computations of instructions, with types and layouts."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping

_BITS = {"pred": 8, "token": 0, "opaque": 0, "c64": 64, "c128": 128, "bf16": 16}  # others end with their number of bits
_SHAPE = re.compile(r"([a-z]\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.+)$")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_CALLS = re.compile(r"(?:calls|to_apply|body|branch_computations|called_computations)=\{?((?:%[\w.\-]+(?:, )?)+)")
# Instructions that name, regroup or wait for arrays, without moving any.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id",
    "opt-barrier", "domain", "add-dependency", "async-update",
}  # fmt: skip
_CALLING = {"call", "while", "conditional", "async-start"}  # their called computations do the work


@dataclasses.dataclass(frozen=True)
class Shape:
    """An array's type, dimensions and layout."""

    dtype: str
    dims: tuple[int, ...]
    layout: str

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.dims)

    @property
    def bits(self) -> int:
        """Of one element."""
        digits = re.match(r"[a-z]+(\d+)", self.dtype)
        return _BITS.get(self.dtype, int(digits.group(1)) if digits else 0)

    @property
    def bytes(self) -> int:
        """Without padding."""
        return self.size * self.bits // 8

    @functools.cached_property
    def moved_bytes(self) -> int:
        """Bytes of main memory, with the padding of a TPU's tiles; 0 for an array in a TPU's on-chip memory."""
        order, _, tiling = self.layout.partition(":")
        if "S(" in tiling and "T(" in tiling:
            return 0
        tile = re.search(r"T\(([\d,]+)\)", tiling)
        if not tile or not self.dims:
            return self.bytes
        sides = [int(side) for side in tile.group(1).split(",")]
        stored = [self.dims[int(axis)] for axis in reversed(order.split(","))]  # the fastest axis last
        stored = [1] * (len(sides) - len(stored)) + stored
        for place, side in enumerate(reversed(sides), 1):
            stored[-place] = -(-stored[-place] // side) * side
        return math.prod(stored) * self.bits // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program."""

    name: str
    opcode: str
    shapes: tuple[Shape, ...]  # of its result; several if it is a tuple
    operands: tuple[str, ...]
    attributes: str
    is_root: bool  # its result is that of its computation

    @property
    def called(self) -> tuple[str, ...]:
        """The names of the computations that it runs."""
        found = [name for match in _CALLS.finditer(self.attributes) for name in match.group(1).split(", ")]
        return tuple(name.removeprefix("%") for name in found if name)

    @property
    def source(self) -> str:
        """The operation of the traced function that it comes from, as a path; empty if XLA does not say."""
        match = re.search(r'op_name="([^"]*)"', self.attributes)
        return match.group(1) if match else ""

    @property
    def trips(self) -> int:
        """How often a loop runs; 1 if XLA does not know."""
        match = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.attributes)
        return int(match.group(1)) if match else 1

    @property
    def target(self) -> str:
        """The function of a library that a `custom-call` calls."""
        match = re.search(r'custom_call_target="([^"]*)"', self.attributes)
        return match.group(1) if match else ""


Computation = Mapping[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Executed:
    """An instruction that runs by itself, its computation, and how often it runs."""

    instruction: Instruction
    computation: Computation
    times: int

    @property
    def operands(self) -> list[Instruction]:
        """The instructions whose results it reads."""
        return [self.computation[name] for name in self.instruction.operands if name in self.computation]


@dataclasses.dataclass(frozen=True)
class Program:
    """All computations of a program."""

    computations: Mapping[str, Computation]
    entry: str

    @functools.cached_property
    def executed(self) -> tuple[Executed, ...]:
        """Every instruction that runs by itself, not inside of a fusion. Of a conditional, those of all branches."""
        return tuple(self._executed(self.entry, 1))

    def _executed(self, name: str, times: int) -> Iterator[Executed]:
        computation = self.computations[name]
        for instruction in computation.values():
            if instruction.opcode in _CALLING:
                for called in instruction.called:
                    yield from self._executed(called, times * instruction.trips)
            elif instruction.opcode not in _FREE and not instruction.opcode.endswith("-done"):
                yield Executed(instruction, computation, times)

    def parts(self, executed: Executed) -> Iterator[Executed]:
        """Yields an instruction and, if it is a fusion, what is inside of it."""
        yield executed
        if executed.instruction.opcode == "fusion":
            for name in executed.instruction.called:
                computation = self.computations[name]
                for inner in computation.values():
                    yield from self.parts(Executed(inner, computation, executed.times))


def parse(text: str) -> Program:
    """Returns the program of the text that `jax.stages.Compiled.as_text` returns."""
    computations: dict[str, dict[str, Instruction]] = {}
    current: dict[str, Instruction] = {}
    entry = ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations.setdefault(header.group(2), {})
            entry = header.group(2) if header.group(1) else entry
        elif match := _INSTRUCTION.match(line):
            instruction = _instruction(match.group(2), re.sub(r"/\*.*?\*/", "", match.group(3)), bool(match.group(1)))
            current[instruction.name] = instruction
    return Program(computations, entry)


def _instruction(name: str, text: str, is_root: bool) -> Instruction:
    end = _closing(text, 0) + 1 if text.startswith("(") else text.index(" ")
    opening = text.index("(", end)
    closing = _closing(text, opening)
    opcode, inside = text[end:opening].strip(), text[opening + 1 : closing]
    operands = (inside,) if opcode in ("parameter", "constant") else tuple(re.findall(r"%([\w.\-]+)", inside))
    return Instruction(name, opcode, _shapes(text[:end]), operands, text[closing + 1 :], is_root)


def _shapes(text: str) -> tuple[Shape, ...]:
    return tuple(
        Shape(dtype, tuple(int(size.removeprefix("<=")) for size in dims.split(",") if size), layout or "")
        for dtype, dims, layout in _SHAPE.findall(text)
    )


def _closing(text: str, opening: int) -> int:
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place
    raise ValueError(f"no closing parenthesis in {text[:200]!r}")
