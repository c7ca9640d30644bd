"""Metrics over more clips than fit in memory, on any number of hosts, through interruptions.

An accumulator is an immutable value: `add` a batch, `merge` what two hosts or two runs have, `save`, `load`, `gather`.
Sums are float64. The result depends on which clips were added, not on how they were cut into batches or hosts.

`Moments` serves every metric: the features of a Fréchet distance ([B, D]), the curves of LPIPS, PSNR and SSIM ([B, T])
and the diversity of each start frame ([B]). `ClipTable` keeps every clip's values under the clip's number, for what
needs them singly: ranking clips, splitting the real ones into halves.
"""

import dataclasses
import functools
import io
import json
import math
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, Self

import jax
import numpy as np
from jax.experimental import multihost_utils
from numpy.typing import ArrayLike, NDArray

from i2v_jax.errors import UserError
from i2v_jax.evaluation.frechet import Gaussian

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
        """For `frechet_distance`. Raises UserError for fewer than two clips."""
        return Gaussian(self.mean, self.scatter / self._divisor(ddof), self.count)

    def deviation(self, ddof: int = 1) -> Float64:
        """Standard deviation over clips of each entry, [D]. Raises UserError for fewer than two clips."""
        return np.sqrt(np.diag(self.scatter) / self._divisor(ddof))

    def overall(self, ddof: int = 1) -> tuple[float, float]:
        """Mean and standard deviation over clips of a clip's average entry, the metric of a curve.

        Raises:
            UserError: fewer than two clips.
        """
        variance = self.scatter.mean() / self._divisor(ddof)
        return float(self.mean.mean()), float(np.sqrt(max(variance, 0.0)))

    def _divisor(self, ddof: int) -> int:
        if self.count < 2:
            raise UserError(f"{self.count} clips are too few for a standard deviation: evaluate 2 or more")
        return self.count - ddof


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


def save(
    path: str | os.PathLike[str], accumulators: Mapping[str, Accumulator], progress: Mapping[str, Any] | None = None
) -> None:
    """Writes named accumulators and `progress` (JSON: where to go on) as one .npz, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_bytes(_to_bytes(accumulators, progress or {}))
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Accumulator], dict[str, Any]]:
    """What `save` wrote: accumulators and progress. Raises UserError for a file that is missing or something else."""
    try:
        return _from_bytes(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, TypeError) as error:
        raise UserError(f"{path} holds no metric state: delete it to evaluate from the start") from error


def gather(accumulators: Mapping[str, Accumulator]) -> dict[str, Accumulator]:
    """Merged over all processes, the same on each; every process calls this with the same names."""
    if jax.process_count() == 1:
        return dict(accumulators)
    # As bytes: jax would round float64 to float32, and tables differ in length.
    own = np.frombuffer(_to_bytes(accumulators, {}), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.array(len(own), np.int32))).ravel()
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: len(own)] = own
    rows = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(lengths), -1)
    parts = [_from_bytes(row[:length].tobytes())[0] for row, length in zip(rows, lengths, strict=True)]
    return {name: functools.reduce(_merge, (part[name] for part in parts)) for name in accumulators}


def _merge(one: Any, other: Any) -> Accumulator:
    return one.merge(other)


def _to_bytes(accumulators: Mapping[str, Accumulator], progress: Mapping[str, Any]) -> bytes:
    names = {kind: name for name, kind in _KINDS.items()}
    header = {"kinds": {name: names[type(value)] for name, value in accumulators.items()}, "progress": dict(progress)}
    arrays: dict[str, Any] = {
        f"{name}/{field.name}": np.asarray(getattr(value, field.name))
        for name, value in accumulators.items()
        for field in dataclasses.fields(value)
    }
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array(json.dumps(header)), **arrays)
    return buffer.getvalue()


def _from_bytes(content: bytes) -> tuple[dict[str, Accumulator], dict[str, Any]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        accumulators: dict[str, Accumulator] = {}
        for name, kind in header["kinds"].items():
            fields = {field.name: file[f"{name}/{field.name}"] for field in dataclasses.fields(_KINDS[kind])}
            accumulators[name] = _rebuilt(kind, fields)
    return accumulators, header["progress"]


def _rebuilt(kind: str, fields: Mapping[str, NDArray[Any]]) -> Accumulator:
    if kind == "moments":
        return Moments(int(fields["count"]), fields["mean"], fields["scatter"])
    return ClipTable(fields["index"], fields["values"])
