"""What a compiled program costs each device: arithmetic and memory traffic."""

import dataclasses

import jax

from i2v_jax.hlo import arithmetic, text, traffic


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one run of a program, on one device."""

    flops: float  # of matrix products and convolutions; a multiplication and an addition are two
    bytes: float  # read from main memory and written to it


def program_cost(compiled: jax.stages.Compiled) -> Cost:
    """Returns the cost of a compiled program. The numbers are XLA's plan; nothing is measured."""
    program = text.parse(compiled.as_text() or "")
    return Cost(arithmetic.flops(program), traffic.moved_bytes(program))
