"""Fréchet distances between sets of frames, from their moments: the features of all frames would be too many.

The moments of real frames are kept for four random groups of clips. Their sum is the whole set, and each way to pair
them up is a division into halves for the floor.
"""

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from i2v_jax.evaluation.records import Floor, floor_of
from i2v_jax.evaluation.state import Tables
from i2v_jax.metrics.accumulators import Moments
from i2v_jax.metrics.frechet import frechet_distance

_GROUPS = 4
_DIVISIONS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))


def names(table: str, numbers: Sequence[int], count: int, real: bool) -> list[str]:
    """For each clip the name of the moments that its frames go into: of real ones by group, what is over in a fifth.

    Args:
        table: of the metric and set, "fid/real".
        numbers: of the clips, below `count`.
        count: clips of the metric.
        real: whether they are true clips, which a floor is computed of.
    """
    if not real:
        return [table] * len(numbers)
    ranks = np.random.default_rng(0).permutation(count)
    groups = np.minimum(ranks // (count // _GROUPS), _GROUPS)
    return [f"{table}/{groups[number]}" for number in numbers]


def moments_of(rows: NDArray[np.floating], tables: Sequence[str]) -> Tables:
    """Features [B, T, D] of the frames of B clips, each for the moments of that name."""
    chosen = np.asarray(tables)
    flat = {name: rows[chosen == name].reshape(-1, rows.shape[-1]) for name in set(tables)}
    return {name: Moments.empty(rows.shape[-1]).add(values) for name, values in sorted(flat.items())}


def distance(tables: Tables, real: str, generated: str, ddof: int) -> float:
    """d^2 between the whole real set and a generated one."""
    groups = [name for name in tables if name.startswith(f"{real}/")]
    return frechet_distance(*(_merged(tables, part).gaussian(ddof) for part in (sorted(groups), [generated])))


def floor(tables: Tables, sets: Sequence[str], clips: int, ddof: int) -> Floor:
    """Between halves of sets of `clips` true clips each: of the real one alone, or with the spare one."""

    def distances() -> Iterator[float]:
        for halves in _DIVISIONS:
            one, other = (_merged(tables, [f"{name}/{group}" for name in sets for group in half]) for half in halves)
            yield frechet_distance(one.gaussian(ddof), other.gaussian(ddof))

    return floor_of(distances(), 2 * (clips // _GROUPS) * len(sets))


def _merged(tables: Tables, chosen: Sequence[str]) -> Moments:
    parts = [part for part in (tables[name] for name in chosen) if isinstance(part, Moments)]
    return functools.reduce(Moments.merge, parts)
