"""The arithmetic of a program: matrix products and convolutions, those that libraries compute included."""

import functools
import math
import re

import numpy as np

from i2v_jax.hlo.text import Executed, Instruction, Program, Shape


def flops(program: Program) -> float:
    """Returns the operations of all matrix products and convolutions; a multiplication and an addition are two."""
    return sum(part.times * _flops(part) for executed in program.executed for part in program.parts(executed))


def _flops(part: Executed) -> float:
    instruction, operands, result = part.instruction, part.operands, part.instruction.shapes[0]
    if instruction.opcode == "dot":
        lhs = operands[0].shapes[0]
        return 2.0 * result.size * _contracted(lhs, instruction, r"lhs_contracting_dims=\{([\d,]*)")
    if instruction.target.startswith("__cublas"):
        lhs = operands[0].shapes[0]
        return 2.0 * result.size * _contracted(lhs, instruction, r'"lhs_contracting_dimensions":\[([\d,"]*)')
    if instruction.opcode == "convolution" or instruction.target.startswith("__cudnn$conv"):
        first, second = operands[0].shapes[0], operands[1].shapes[0]
        match instruction.target.removeprefix("__cudnn$conv"):  # which part of the forward convolution the result is
            case "BackwardInput":
                return _convolution_flops(instruction, result, second, first)
            case "BackwardFilter":
                return _convolution_flops(instruction, first, result, second)
            case _:
                return _convolution_flops(instruction, first, second, result)
    return 0.0


def _contracted(lhs: Shape, instruction: Instruction, pattern: str) -> int:
    match = re.search(pattern, instruction.attributes)
    axes = [int(axis.strip('"')) for axis in match.group(1).split(",") if axis] if match else []
    return math.prod(lhs.dims[axis] for axis in axes)


def _convolution_flops(instruction: Instruction, lhs: Shape, rhs: Shape, out: Shape) -> float:
    """Returns 2 x (output positions that meet the input, over all taps of the kernel) x channels."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    assert labels, instruction
    of_lhs, of_rhs, of_out = labels.groups()
    window = dict(
        re.findall(r"(\w+)=([\dx_\-]+)", (re.search(r"window=\{([^}]*)\}", instruction.attributes) or [""])[0])
    )
    spatial = sorted(set(of_out) - set("bf"))

    def each(name: str, default: str) -> list[str]:
        return window[name].split("x") if name in window else [default] * len(spatial)

    pairs = 1
    for place, axis in enumerate(spatial):
        low, _, _ = each("pad", "0_0")[place].partition("_")
        pairs *= _valid_pairs(
            lhs.dims[of_lhs.index(axis)],
            rhs.dims[of_rhs.index(axis)],
            out.dims[of_out.index(axis)],
            int(each("stride", "1")[place]),
            int(low),
            int(each("lhs_dilate", "1")[place]),
            int(each("rhs_dilate", "1")[place]),
        )
    groups = {
        name: int(count) for name, count in re.findall(r"(feature|batch)_group_count=(\d+)", instruction.attributes)
    }
    batch = lhs.dims[of_lhs.index("b")] / groups.get("batch", 1)
    channels = lhs.dims[of_lhs.index("f")] / groups.get("feature", 1)
    return 2.0 * batch * channels * out.dims[of_out.index("f")] * pairs


@functools.cache
def _valid_pairs(size: int, kernel: int, out: int, stride: int, low: int, dilate: int, kernel_dilate: int) -> int:
    """Returns the number of (output position, tap) along one axis that meet an element of the input."""
    positions = np.arange(out)[:, None] * stride + np.arange(kernel) * kernel_dilate - low
    inside = (positions >= 0) & (positions <= (size - 1) * dilate) & (positions % dilate == 0)
    return int(inside.sum())
