"""The memory traffic of a program: what its instructions read from main memory and write to it."""

from collections.abc import Iterable, Sequence

from i2v_jax.hlo.collectives import KINDS
from i2v_jax.hlo.text import Computation, Executed, Instruction, Program, Shape

# They read a part of their first operand, or nothing.
_PARTIAL = ("slice", "dynamic-slice", "gather", "dynamic-update-slice")

_LARGE = 2**16  # elements


def moved_bytes(program: Program) -> int:
    """Returns what all instructions read and write."""
    return sum(executed.times * bytes_of(executed, program) for executed in program.executed)


def bytes_of_shapes(program: Program, shapes: Iterable[tuple[int, ...]]) -> int:
    """Returns what instructions move whose large arrays all have one of some shapes, with axes in any order."""
    known = {_axes(shape) for shape in shapes}

    def is_known(executed: Executed) -> bool:
        arrays = [shape for each in (executed.instruction, *executed.operands) for shape in each.shapes]
        large = [array for array in arrays if array.size >= _LARGE]
        return bool(large) and all(_axes(array.dims) in known for array in large)

    return sum(each.times * bytes_of(each, program) for each in program.executed if is_known(each))


def _axes(shape: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(size for size in shape if size > 1))


def bytes_of(executed: Executed, program: Program) -> int:
    """Returns what one run of an instruction reads and writes. Of what is sliced or updated, only the part."""
    instruction, operands = executed.instruction, executed.operands
    match instruction.opcode:
        case "slice" | "dynamic-slice" | "gather":
            read = sum(shape.moved_bytes or shape.bytes for shape in instruction.shapes) if _moved(operands[0]) else 0
            return read + _moved(instruction)
        case "dynamic-update-slice":
            return 2 * _moved(operands[1])
        case "fusion":
            return _fusion_bytes(instruction, operands, program.computations[instruction.called[0]])
        case "slice-start":  # its result names the array, the slice and what waits for it
            return instruction.shapes[len(operands)].bytes + instruction.shapes[len(operands)].moved_bytes
        case "copy-start":  # its result names both arrays
            return _moved(operands[0]) + instruction.shapes[0].moved_bytes
        case "custom-call" if "conv" in instruction.target:  # the last result is the library's work space
            return sum(map(_moved, operands)) + instruction.shapes[0].moved_bytes
        case _:
            return sum(map(_moved, operands)) + _moved(instruction)


def _fusion_bytes(fusion: Instruction, operands: Sequence[Instruction], body: Computation) -> int:
    root = next(inner for inner in body.values() if inner.is_root)
    if root.target == "AsyncCollectiveStart":  # which passes its operands on to other fusions, until they are done
        return sum(map(_moved, operands))
    if root.target == "AsyncCollectiveDone":
        return _moved(fusion)
    parameters = [inner for inner in body.values() if inner.opcode == "parameter"]
    moved = sum(_read(inner, operands[int(inner.operands[0])], root, body) for inner in parameters)
    results = [body[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(results) != len(fusion.shapes):  # the root is a call with several results
        return moved + _moved(fusion)
    return moved + sum(_written(result, shape, body) for result, shape in zip(results, fusion.shapes, strict=True))


def _read(parameter: Instruction, operand: Instruction, root: Instruction, body: Computation) -> int:
    """Returns what a fusion reads of an operand."""
    users = _users(parameter.name, body)
    if root.opcode == "tuple":
        users = [(user, name) for user, name in users if user is not root and not _is_collective(user)]
    if not _moved(operand) or not users:
        return 0
    if all(user.opcode in _PARTIAL and user.operands[0] == name for user, name in users):
        return sum(_moved(user) for user, _ in users if user.opcode != "dynamic-update-slice")
    return _moved(operand)


def _written(result: Instruction, shape: Shape, body: Computation) -> int:
    """Returns what a fusion writes of a result: nothing of what it passes on, only the part that it updates."""
    while result.opcode == "bitcast":
        result = body[result.operands[0]]
    if result.opcode == "parameter" or _is_collective(result) or not shape.moved_bytes:
        return 0
    return _moved(body[result.operands[1]]) if result.opcode == "dynamic-update-slice" else shape.moved_bytes


def _is_collective(instruction: Instruction) -> bool:
    return instruction.opcode.removesuffix("-start") in KINDS


def _moved(instruction: Instruction) -> int:
    return sum(shape.moved_bytes for shape in instruction.shapes)


def _users(name: str, body: Computation) -> list[tuple[Instruction, str]]:
    """Returns the instructions that read a value, through reinterpretations of it, with the name that they read."""
    found = []
    for inner in body.values():
        if name in inner.operands and inner.opcode not in ("parameter", "constant"):
            found += _users(inner.name, body) if inner.opcode == "bitcast" else [(inner, name)]
    return found
