"""A table of the networks of a stage and their sizes."""

import math
from collections.abc import Mapping
from typing import Any

import jax


def parameter_table(trained: Mapping[str, Any], frozen: Mapping[str, Any]) -> str:
    """Returns a table of parameters and bytes by network, as lines of text.

    Args:
        trained: network name -> parameters, as arrays or their shapes.
        frozen: network name -> variables that training leaves as they are.
    """
    sizes = {name: _size(tree) for name, tree in trained.items()}
    sizes["all trained"] = tuple(map(sum, zip(*sizes.values(), strict=True)))
    sizes |= {f"{name} (frozen)": _size(tree) for name, tree in frozen.items()}
    rows = [("network", "parameters", "bytes")]
    rows += [(name, f"{count:,}", f"{size:,}") for name, (count, size) in sizes.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(f"{name:<{widths[0]}}  {count:>{widths[1]}}  {size:>{widths[2]}}" for name, count, size in rows)


def _size(tree: Any) -> tuple[int, ...]:
    """Returns (number of values, bytes) of a tree of arrays."""
    counts = [(math.prod(leaf.shape), leaf.dtype.itemsize) for leaf in jax.tree.leaves(tree)]
    return sum(count for count, _ in counts), sum(count * size for count, size in counts)
