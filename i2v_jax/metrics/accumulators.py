"""What an evaluation keeps of the clips that it has seen, on any number of hosts and through interruptions.

An accumulator is immutable: `add` a batch to it, `merge` those of two hosts or of two runs, `save` and `load` it. Sums
are float64. The result depends on which clips were added, not on how they were split over batches and hosts.

`Moments` serves Fréchet distances between sets of frames: 34 MB for 2048 features, for any number of frames.
`ClipTable` keeps each clip's values under the clip's number. It serves the other metrics, whose values are few, and
those that need single clips: to rank them, or to split the real ones into halves.
"""

import dataclasses
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.metrics.frechet import Gaussian

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """The number, mean and scatter of vectors (Chan, Golub and LeVeque 1979: stable for means far from zero)."""

    count: int
    mean: Float64  # [D]
    scatter: Float64  # [D, D], the sum of outer products of deviations from the mean

    @classmethod
    def empty(cls, dimensions: int) -> Self:
        """Returns the moments of no vectors."""
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    def add(self, values: ArrayLike, valid: ArrayLike | None = None) -> Self:
        """Returns the moments with the batch `values` [B] or [B, D] added; `valid` [B] marks those that count.

        Raises:
            UserError: a value is not finite, or there are not D of them. The field is "values".
        """
        rows = np.asarray(values, np.float64)
        chosen = np.flatnonzero(np.ones(len(rows)) if valid is None else np.asarray(valid))
        rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))[chosen]
        if rows.shape[1] != len(self.mean):
            raise UserError(
                f"{rows.shape[1]} values per clip cannot be added to {len(self.mean)}",
                field="values",
                value=rows.shape[1],
            )
        if not np.isfinite(rows).all():
            clip, entry = np.argwhere(~np.isfinite(rows))[0]
            raise UserError(
                f"clip {chosen[clip]} of the batch has the value {rows[clip, entry]} at {entry} (must be finite)",
                field="values",
                value=rows[clip, entry],
            )
        if not len(rows):
            return self
        mean = rows.mean(axis=0)
        return self.merge(type(self)(len(rows), mean, (rows - mean).T @ (rows - mean)))

    def merge(self, other: Self) -> Self:
        """Returns the moments of both sets together. Raises UserError if their dimensions differ."""
        if len(self.mean) != len(other.mean):
            raise UserError(
                f"moments of {len(self.mean)} and of {len(other.mean)} values per clip cannot be merged",
                field="values",
                value=len(other.mean),
            )
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return type(self)(count, mean, self.scatter + other.scatter + between)

    def gaussian(self, ddof: int = 1) -> Gaussian:
        """Returns the mean and the covariance, for `frechet_distance`. Raises UserError for fewer than two vectors."""
        if self.count < 2:
            raise UserError(f"too few clips for a covariance: {self.count} (must be at least 2)", value=self.count)
        return Gaussian(self.mean, self.scatter / (self.count - ddof), self.count)


@dataclasses.dataclass(frozen=True, eq=False)
class ClipTable:
    """Each clip's values, in the order of the clips' numbers."""

    index: NDArray[np.int64]  # [N], increasing
    values: NDArray[Any]  # [N, ...]

    @classmethod
    def empty(cls, *shape: int, dtype: Any = np.float32) -> Self:
        """Returns the table of no clips, for values of this shape and type per clip."""
        return cls(np.zeros(0, np.int64), np.zeros((0, *shape), dtype))

    def add(self, index: ArrayLike, values: ArrayLike, valid: ArrayLike | None = None) -> Self:
        """Returns the table with the clips `index` [B] and their `values` [B, ...]; `valid` [B] marks those that count.

        Raises:
            UserError: a clip is in the table already, or values have another shape.
        """
        rows, clips = np.asarray(values, self.values.dtype), np.asarray(index, np.int64)
        chosen = np.ones(len(clips), bool) if valid is None else np.asarray(valid, bool)
        return self.merge(type(self)(clips[chosen], rows[chosen]))

    def merge(self, other: Self) -> Self:
        """Returns the table of both sets together. Raises as `add`."""
        if self.values.shape[1:] != other.values.shape[1:]:
            raise UserError(
                f"values of shape {self.values.shape[1:]} and {other.values.shape[1:]} cannot be merged",
                field="values",
                value=other.values.shape[1:],
            )
        index = np.concatenate([self.index, other.index])
        order = np.argsort(index, kind="stable")
        index = index[order]
        repeated = index[1:][index[1:] == index[:-1]]
        if repeated.size:
            raise UserError(
                f"clip {repeated[0]} was evaluated twice: start this evaluation again in an empty folder",
                field="index",
                value=int(repeated[0]),
            )
        return type(self)(index, np.concatenate([self.values, other.values])[order])


Accumulator = Moments | ClipTable
_KINDS: Mapping[str, type[Accumulator]] = {"moments": Moments, "clip_table": ClipTable}


def merge(one: Accumulator, other: Accumulator) -> Accumulator:
    """Returns the accumulator of both sets together. Raises UserError if their kinds or shapes differ."""
    if isinstance(one, Moments) and isinstance(other, Moments):
        return one.merge(other)
    if isinstance(one, ClipTable) and isinstance(other, ClipTable):
        return one.merge(other)
    raise UserError(
        f"{type(one).__name__} and {type(other).__name__} cannot be merged: start this evaluation again in an empty "
        "folder"
    )


def merge_all(some: Mapping[str, Accumulator], others: Mapping[str, Accumulator]) -> dict[str, Accumulator]:
    """Returns the named accumulators of both, those of the same name merged."""
    both = {name: merge(some[name], other) for name, other in others.items() if name in some}
    return {**some, **others, **both}


def save(path: str | os.PathLike[str], accumulators: Mapping[str, Accumulator]) -> None:
    """Writes named accumulators as one .npz file. Raises UserError if the file cannot be written."""
    files.write_bytes(path, _to_bytes(accumulators))


def load(path: str | os.PathLike[str]) -> dict[str, Accumulator]:
    """Returns what `save` wrote. Raises UserError if the file is missing or holds something else."""
    try:
        return _from_bytes(files.location(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", value=str(path)) from error
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, TypeError) as error:
        raise UserError(
            f"{path} holds no metric state: delete it to evaluate from the start", value=str(path)
        ) from error


def _to_bytes(accumulators: Mapping[str, Accumulator]) -> bytes:
    names = {kind: name for name, kind in _KINDS.items()}
    kinds = {name: names[type(value)] for name, value in accumulators.items()}
    arrays: dict[str, Any] = {
        f"{name}/{field.name}": np.asarray(getattr(value, field.name))
        for name, value in accumulators.items()
        for field in dataclasses.fields(value)
    }
    buffer = io.BytesIO()
    np.savez(buffer, kinds=np.array(json.dumps(kinds)), **arrays)
    return buffer.getvalue()


def _from_bytes(content: bytes) -> dict[str, Accumulator]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        accumulators: dict[str, Accumulator] = {}
        for name, kind in json.loads(str(file["kinds"])).items():
            fields = {field.name: file[f"{name}/{field.name}"] for field in dataclasses.fields(_KINDS[kind])}
            accumulators[name] = _rebuilt(kind, fields)
    return accumulators


def _rebuilt(kind: str, fields: Mapping[str, NDArray[Any]]) -> Accumulator:
    if kind == "moments":
        return Moments(int(fields["count"]), fields["mean"], fields["scatter"])
    return ClipTable(fields["index"], fields["values"])
