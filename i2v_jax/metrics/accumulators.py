"""What an evaluation keeps of the clips that it has seen: little, on any number of hosts, through interruptions.

An accumulator is an immutable value: `add` a batch, `merge` what two hosts or two runs have, `save`, `load`. Sums are
float64. The result depends on which clips were added, not on how they were cut into batches or hosts.

`Moments` is for Fréchet distances between sets of frames: 34 MB for 2048 features, whatever the number of frames.
`ClipTable` keeps every clip's values under the clip's number: of the other metrics, where they are few, and where
clips are needed singly: ranking them, splitting the real ones into halves.
"""

import dataclasses
import io
import json
import math
import os
import pathlib
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
    """Number, mean and scatter of vectors (Chan, Golub and LeVeque 1979: stable for means far from zero)."""

    count: int
    mean: Float64  # [D]
    scatter: Float64  # [D, D], the sum of outer products of deviations from the mean

    @classmethod
    def empty(cls, dimensions: int) -> Self:
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    def add(self, values: ArrayLike, valid: ArrayLike | None = None) -> Self:
        """With the batch `values` [B] or [B, D]; `valid` [B] marks those that count.

        Raises:
            UserError: a value is not finite (PSNR of equal frames is infinite), or there are not D of them.
        """
        rows = np.asarray(values, np.float64)
        chosen = np.flatnonzero(np.ones(len(rows)) if valid is None else np.asarray(valid))
        rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))[chosen]
        if rows.shape[1] != len(self.mean):
            raise UserError(f"{rows.shape[1]} values per clip were added to an accumulator of {len(self.mean)}")
        if not np.isfinite(rows).all():
            clip, entry = np.argwhere(~np.isfinite(rows))[0]
            raise UserError(
                f"clip {chosen[clip]} of the batch has the value {rows[clip, entry]} at {entry}: not finite"
            )
        if not len(rows):
            return self
        mean = rows.mean(axis=0)
        return self.merge(type(self)(len(rows), mean, (rows - mean).T @ (rows - mean)))

    def merge(self, other: Self) -> Self:
        """Of both sets together. Raises UserError when their dimensions differ."""
        if len(self.mean) != len(other.mean):
            raise UserError(f"statistics of {len(self.mean)} and {len(other.mean)} values per clip cannot be merged")
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return type(self)(count, mean, self.scatter + other.scatter + between)

    def gaussian(self, ddof: int = 1) -> Gaussian:
        """For `frechet_distance`. Raises UserError for fewer than two vectors."""
        if self.count < 2:
            raise UserError(f"{self.count} clips are too few for a covariance: evaluate 2 or more")
        return Gaussian(self.mean, self.scatter / (self.count - ddof), self.count)


@dataclasses.dataclass(frozen=True, eq=False)
class ClipTable:
    """Every clip's values, in the order of the clips' numbers."""

    index: NDArray[np.int64]  # [N], rising
    values: NDArray[Any]  # [N, ...]

    @classmethod
    def empty(cls, *shape: int, dtype: Any = np.float32) -> Self:
        """For values of this shape and type per clip."""
        return cls(np.zeros(0, np.int64), np.zeros((0, *shape), dtype))

    def add(self, index: ArrayLike, values: ArrayLike, valid: ArrayLike | None = None) -> Self:
        """With the clips `index` [B] and their `values` [B, ...]; `valid` [B] marks those that count.

        Raises:
            UserError: a clip that is there already, or values of another shape.
        """
        rows, clips = np.asarray(values, self.values.dtype), np.asarray(index, np.int64)
        chosen = np.ones(len(clips), bool) if valid is None else np.asarray(valid, bool)
        return self.merge(type(self)(clips[chosen], rows[chosen]))

    def merge(self, other: Self) -> Self:
        """Of both sets together. Raises as `add`."""
        if self.values.shape[1:] != other.values.shape[1:]:
            raise UserError(f"clips with values {self.values.shape[1:]} and {other.values.shape[1:]} cannot be merged")
        index = np.concatenate([self.index, other.index])
        order = np.argsort(index, kind="stable")
        index = index[order]
        repeated = index[1:][index[1:] == index[:-1]]
        if repeated.size:
            raise UserError(f"clip {repeated[0]} was evaluated twice: start this evaluation again in an empty folder")
        return type(self)(index, np.concatenate([self.values, other.values])[order])


Accumulator = Moments | ClipTable
_KINDS: Mapping[str, type[Accumulator]] = {"moments": Moments, "clip_table": ClipTable}


def merge(one: Accumulator, other: Accumulator) -> Accumulator:
    """Of both sets together. Raises UserError for accumulators of different kinds or shapes."""
    if isinstance(one, Moments) and isinstance(other, Moments):
        return one.merge(other)
    if isinstance(one, ClipTable) and isinstance(other, ClipTable):
        return one.merge(other)
    raise UserError("moments and values of clips cannot be merged: start this evaluation again in an empty folder")


def save(path: str | os.PathLike[str], accumulators: Mapping[str, Accumulator]) -> None:
    """Writes named accumulators as one .npz file. Raises UserError if the file cannot be written."""
    files.write_bytes(path, _to_bytes(accumulators))


def load(path: str | os.PathLike[str]) -> dict[str, Accumulator]:
    """What `save` wrote. Raises UserError for a file that is missing or something else."""
    try:
        return _from_bytes(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, TypeError) as error:
        raise UserError(f"{path} holds no metric state: delete it to evaluate from the start") from error


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
