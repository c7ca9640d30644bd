"""Batches from arrays in memory, with the same order and position as batches from videos."""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np

from i2v_jax.input.clips import ClipOrder
from i2v_jax.input.pipeline import Pipeline


@dataclasses.dataclass(frozen=True)
class ReadRow:
    """Maps a position to one row of every array."""

    rows: Mapping[str, np.ndarray]  # each [N, ...]
    order: ClipOrder

    def __call__(self, position: int) -> dict[str, np.ndarray]:
        row = self.order.at(int(position)).clip
        return {name: array[row] for name, array in self.rows.items()}

    def in_order(self, order: ClipOrder) -> "ReadRow":
        """Returns a reader of the same rows in another order."""
        return dataclasses.replace(self, order=order)

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shape and type of one row."""
        return {name: jax.ShapeDtypeStruct(array.shape[1:], array.dtype) for name, array in self.rows.items()}


def rows_pipeline(rows: Mapping[str, np.ndarray], *, batch_size: int, seed: int, drop_last: bool = True) -> Pipeline:
    """Returns infinite shuffled batches of `rows`, arrays [N, ...] with the same N; every host has all of them.

    `drop_last` is that of `make_pipeline`.
    """
    count = len(next(iter(rows.values())))
    reader = ReadRow(rows, ClipOrder(count, batch_size, seed, True, drop_last))
    return Pipeline(reader, num_steps=2**40, workers=0, prefetch=2)
