"""Clips of several data sets in one training: which data set each clip of a batch comes from."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, cast

import jax
import numpy as np
from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.input.clips import ClipOrder
from i2v_jax.input.pipeline import Pipeline, Reader
from i2v_jax.input.sequences import ReadSequence


def parts(data: ConfigDict) -> tuple[ConfigDict, ...]:
    """Returns the `data` part of a configuration for each data set: that of `data.name`, then those of `data.mixture`.

    Raises:
        UserError: folders or weights are not as many as data sets, a data set is named twice, or clips have classes,
            which are those of one data set.
    """
    mixture, names = data.mixture, (data.name, *data.mixture.names)
    counts = {"dirs": len(names) - 1, "weights": len(names)}
    for field, expected in counts.items():
        if len(mixture[field]) not in (0, expected):
            raise UserError(
                f"data.mixture.{field} has {len(mixture[field])} values for {', '.join(names)} (must have {expected}"
                f"{', not counting data.dir' if field == 'dirs' else ', one for each'})",
                f"data.mixture.{field}",
                mixture[field],
            )
    if len(set(names)) < len(names) or (len(names) > 1 and data.get("classified", False)):
        raise UserError(
            f"data.mixture.names={','.join(mixture.names)} does not fit data.name={data.name}: name every data set "
            "once, and mix none with data.classified",
            "data.mixture.names",
            mixture.names,
        )
    dirs = (data.dir, *(mixture.dirs or [data.dir] * len(mixture.names)))
    found = [data.copy_and_resolve_references() for _ in names]
    for part, name, folder in zip(found, names, dirs, strict=True):
        part.update(name=name, dir=folder)
        part.mixture.update(names=(), dirs=(), weights=())
    return tuple(found)


def part_of(data: ConfigDict, name: str) -> ConfigDict:
    """Returns the `data` part of a configuration for one data set; one that is not in the mixture is in `data.dir`."""
    for part in parts(data):
        if part.name == name:
            return part
    other = parts(data)[0]
    other.name = name
    return other


@dataclasses.dataclass(frozen=True)
class MixedOrder(ClipOrder):
    """The order of the clips of several data sets, which is that of one with all of their clips.

    An epoch has `shares[k]` clips of data set k: the next ones in the order of that data set, which starts again when
    all of its clips were shown. A permutation drawn from (seed, epoch) decides which clips of the epoch these are.
    """

    shares: tuple[int, ...] = ()

    def place(self, position: int) -> tuple[int, int]:
        """Returns (data set, position in the order of that data set) of a position."""
        epoch, index, *_ = self.at(position)
        ends = np.cumsum(self.shares)
        part = int(np.searchsorted(ends, index, side="right"))
        share = self.shares[part]
        return part, epoch * share + index - int(ends[part] - share)


@dataclasses.dataclass(frozen=True)
class ReadMixture:
    """Maps a position to a clip of one of several data sets: the arrays that the clips of all of them have."""

    readers: tuple[Reader, ...]
    order: MixedOrder

    def in_order(self, order: ClipOrder) -> "ReadMixture":
        """Returns a reader of the same clips in another order of several data sets."""
        return dataclasses.replace(self, order=cast(MixedOrder, order))

    @functools.cached_property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shape and type of every array of a clip."""
        first, *others = (reader.spec for reader in self.readers)
        return {name: item for name, item in first.items() if all(name in other for other in others)}

    def __call__(self, position: int) -> dict[str, Any]:
        return self.read_for_step(int(position), int(position) // self.order.batch_size)

    def read_for_step(self, position: int, step: int) -> dict[str, Any]:
        """Returns the clip of a position for the batch of a step: clips may be of varying length."""
        part, place = self.order.place(position)
        reader = self.readers[part]
        # the clips of a batch have one length, whatever their data sets
        clip = reader.read_for_step(place, step) if isinstance(reader, ReadSequence) else reader(place)
        return {name: clip[name] for name in self.spec}


def mixed(
    pipelines: Sequence[Pipeline],
    weights: Sequence[float],
    *,
    batch_size: int,
    seed: int,
    drop_last: bool = True,
    field: str = "batch_size",
) -> Pipeline:
    """Returns the training pipeline of several data sets; an epoch has as many clips as all of them together.

    Args:
        pipelines: of each data set, for training and with batches of one clip.
        weights: the shares of the data sets, of any sum; empty: as many clips of each as it has.
        batch_size: B over all hosts.
        seed: of the order of data sets.
        drop_last, field: see `make_pipeline`.

    Raises:
        UserError: a batch is larger than all data sets together, or no weight is above 0.
    """
    counts = [pipeline.num_clips for pipeline in pipelines]
    shares = _shares(sum(counts), weights or counts)
    order = MixedOrder(sum(counts), batch_size, seed, True, drop_last, shares)
    if not order.steps_per_epoch:
        raise UserError(
            f"the data sets have {order.num_clips} clips together, but {field} is {batch_size}: lower {field}",
            field,
            batch_size,
        )
    reader = ReadMixture(tuple(pipeline.reader for pipeline in pipelines), order)
    return dataclasses.replace(pipelines[0], reader=reader)


def _shares(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Returns integers of the sum `total` that are as `weights` are to each other, rounded."""
    if not sum(weights) > 0:
        raise UserError("data.mixture.weights: none is above 0", "data.mixture.weights", tuple(weights))
    ends = np.rint(total * np.cumsum(weights) / sum(weights)).astype(int)
    return tuple(np.diff(ends, prepend=0).tolist())
