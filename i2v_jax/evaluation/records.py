"""A result says what it is: a number with its protocol, its model, its floor and its spread.

Two records are compared only when their protocols are equal, which their hashes show: the Fréchet distance of the same
model differs by 100 with the number of clips or the corner rule of a resize.
"""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.metrics.base import Floor


@dataclasses.dataclass(frozen=True)
class MetricProtocol:
    """All that two numbers must share to be comparable. Exactly these fields make the hash."""

    metric: str
    version: int
    backbone: str  # "none" without one
    backbone_sha256: str
    layer: str
    precision: str  # of the backbone, "float32"
    input_range: str  # that the backbone sees
    input_dtype: str  # of the frames before the backbone
    resize_kernel: str
    resize_corners: str
    resize: int  # height and width that the backbone sees
    protocol: str
    pairing: str
    frames: int  # of a scored clip
    stride: int
    start_rule: str
    start_frame_scored: bool
    size: int  # height and width of the frames before resizing
    num_real: int
    num_generated: int
    samples_per_condition: int
    dropped: int  # clips that did not fill a batch of the authors' script
    distinct_clips: int  # of the real ones: a video with fewer starts than draws gives some again
    videos_too_short: int  # of the split, for x0 and the frames of the protocol
    data: str
    split: str
    clip_list_sha256: str
    covariance_ddof: int | None = None  # None: no covariance in this metric
    matrix_square_root: str = "none"

    @property
    def sha256(self) -> str:
        """Of the fields as JSON with sorted keys and no spaces."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class ModelIdentity:
    """What was measured; not part of the protocol."""

    name: str
    checkpoint_sha256: str
    step: int
    seed: int
    temperature: float = 1.0

    @property
    def label(self) -> str:
        """For tables."""
        seed = f", seed {self.seed}" if self.seed else ""
        temperature = f", temperature {self.temperature:g}" if self.temperature != 1 else ""
        return f"{self.name}, step {self.step}{seed}{temperature}"


# The heading of a `Floor` in tables.
REAL_VS_REAL = "real vs. real (different start frames)"


@dataclasses.dataclass(frozen=True)
class Record:
    """One result."""

    protocol: MetricProtocol
    model: ModelIdentity
    values: tuple[float, ...]  # one for each repeat, of another seed each
    floor: Floor | None = None  # None: the metric has none (it compares clip with clip, or samples among themselves)
    curve: tuple[float, ...] = ()  # per frame, mean over clips and repeats

    def __post_init__(self) -> None:
        """Raises UserError for no value, or one that is not finite."""
        numbers = (*self.values, *self.curve, self.floor.mean if self.floor else 0.0)
        if not self.values or not all(math.isfinite(number) for number in numbers):
            raise UserError(f"{self.protocol.metric} gave {list(numbers)}: a record needs finite values")

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def std(self) -> float | None:
        """Over repeats (unbiased); None for a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """What `write_records` writes: the fields, and beside them mean, std and protocol hash for readers."""
        return {"mean": self.mean, "std": self.std, "protocol_sha256": self.protocol.sha256, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse.

        Raises:
            UserError: fields are missing or unknown, or the hash is not the protocol's.
        """
        try:
            record = cls(
                MetricProtocol(**content["protocol"]),
                ModelIdentity(**content["model"]),
                tuple(content["values"]),
                None if content["floor"] is None else Floor(**content["floor"]),
                tuple(content["curve"]),
            )
            stored = content["protocol_sha256"]
        except (KeyError, TypeError) as error:
            raise UserError(f"this is no record of a metric: {error}") from error
        if stored != record.protocol.sha256:
            raise UserError(
                f"the record of {record.protocol.metric} was changed after it was written: its hash differs"
            )
        return record


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Second minus first."""

    difference: float
    std: float | None  # of the difference, from both spreads over repeats; None where one has a single value


def compare(first: Record, second: Record) -> Comparison:
    """The difference of two results. Raises UserError, naming fields and values, when their protocols differ."""
    check_same_protocol((first, second))
    std = None if first.std is None or second.std is None else math.hypot(first.std, second.std)
    return Comparison(second.mean - first.mean, std)


def check_same_protocol(records: Sequence[Record]) -> None:
    """Raises UserError when records may not stand in one column, naming the fields that differ with both values."""
    for record in records[1:]:
        one, other = (dataclasses.asdict(item.protocol) for item in (records[0], record))
        differing = [f"{name} {one[name]!r} against {other[name]!r}" for name in one if one[name] != other[name]]
        if differing:
            raise UserError(
                f"{records[0].model.name} and {record.model.name} were measured under different protocols: "
                + "; ".join(differing)
            )


def replaced(earlier: Sequence[Record], new: Sequence[Record]) -> tuple[Record, ...]:
    """Both, of the same protocol and model only the new one."""

    def key(record: Record) -> tuple[str, ModelIdentity]:
        return record.protocol.sha256, record.model

    again = {key(record) for record in new}
    return (*(record for record in earlier if key(record) not in again), *new)


def write_records(path: str | os.PathLike[str], records: Sequence[Record]) -> None:
    """Writes a JSON list of records. Raises UserError if the file cannot be written."""
    content = [record.to_json() for record in records]
    files.write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_records(path: str | os.PathLike[str]) -> tuple[Record, ...]:
    """What `write_records` wrote. Raises UserError for a file that is missing or holds something else."""
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    try:
        return tuple(Record.from_json(item) for item in content)
    except (UserError, TypeError) as error:
        raise UserError(f"{path}: {error}") from error
