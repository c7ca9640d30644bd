"""Results of evaluations: values with their protocol, their model and their deviation over repeats.

Two records are compared only if the hashes of their protocols are equal: the Fréchet distance of the same model changes
by 100 with the number of clips or with the corner rule of a resizing.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.metrics.base import Floor

_NOT_RECORDED = "not recorded"  # by the version that wrote the record


@dataclasses.dataclass(frozen=True)
class MetricProtocol:
    """All that two values must share to be comparable. The hash is of exactly these fields."""

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
    dropped: int  # clips that do not fill a batch of the authors' script
    distinct_clips: int  # of the real ones: a video with fewer starts than draws gives some twice
    videos_too_short: int  # of the split, without enough frames for the protocol
    data: str
    split: str
    clip_list_sha256: str
    covariance_ddof: int | None = None  # None: no covariance in this metric
    matrix_square_root: str = "none"
    truth_stored: str = _NOT_RECORDED  # how the data set stores the true frames: lossless, as JPEG, scaled
    truth_crop: str = _NOT_RECORDED  # which part of them is seen
    truth_resize: str = _NOT_RECORDED  # how they get their size
    pokes: str = _NOT_RECORDED  # what the pokes of a clip depend on besides its pixels, as JSON; "none" without pokes

    @property
    def sha256(self) -> str:
        """The hash of the fields as JSON with sorted keys and no spaces."""
        return _sha256(dataclasses.asdict(self))


def _sha256(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class ModelIdentity:
    """What was measured; not part of the protocol."""

    name: str
    checkpoint_sha256: str
    step: int
    seed: int
    temperature: float = 1.0
    checkpoints: str = ""  # of all stages, and why they were chosen

    @property
    def label(self) -> str:
        """The name in tables."""
        seed = f", seed {self.seed}" if self.seed else ""
        temperature = f", temperature {self.temperature:g}" if self.temperature != 1 else ""
        return f"{self.name}, step {self.step}{seed}{temperature}"


@dataclasses.dataclass(frozen=True)
class Record:
    """One result."""

    protocol: MetricProtocol
    model: ModelIdentity
    values: tuple[float, ...]  # one for each repeat, which has its own seed
    floor: Floor | None = None  # None if the metric does not compare sets
    curve: tuple[float, ...] = ()  # per frame, mean over clips and repeats
    data_sha256: str = ""  # of the stored videos; empty if they are drawn

    def __post_init__(self) -> None:
        """Raises UserError if there is no value, or one that is not finite."""
        numbers = (*self.values, *self.curve, self.floor.mean if self.floor else 0.0)
        if not self.values or not all(math.isfinite(number) for number in numbers):
            raise UserError(
                f"{self.protocol.metric} has the values {list(numbers)} (must be finite, at least one)",
                value=self.protocol.metric,
            )

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def std(self) -> float | None:
        """The standard deviation over repeats (unbiased); None for a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Returns what `write_records` writes: the fields, and mean, std and protocol hash for readers."""
        return {"mean": self.mean, "std": self.std, "protocol_sha256": self.protocol.sha256, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Returns the record that `to_json` wrote.

        Raises:
            UserError: fields are missing or unknown, or the hash is not that of the protocol.
        """
        try:
            record = cls(
                MetricProtocol(**content["protocol"]),
                ModelIdentity(**content["model"]),
                tuple(content["values"]),
                None if content["floor"] is None else Floor(**content["floor"]),
                tuple(content["curve"]),
                content.get("data_sha256", ""),
            )
            stored = content["protocol_sha256"]
        except (KeyError, TypeError) as error:
            raise UserError(f"not a record of a metric: {error}") from error
        if stored != _sha256(content["protocol"]):
            raise UserError(
                f"the record of {record.protocol.metric} was changed after it was written: its hash differs",
                "protocol_sha256",
                stored,
            )
        return record


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The second value minus the first."""

    difference: float
    std: float | None  # of the difference, from both deviations over repeats; None if one has a single value


def compare(first: Record, second: Record) -> Comparison:
    """Returns the difference of two results. Raises UserError as `check_same_protocol`."""
    check_same_protocol((first, second))
    std = None if first.std is None or second.std is None else math.hypot(first.std, second.std)
    return Comparison(second.mean - first.mean, std)


def check_same_protocol(records: Sequence[Record]) -> None:
    """Raises UserError if the protocols of records differ. Its value has the names of the fields that differ."""
    for record in records[1:]:
        one, other = (dataclasses.asdict(item.protocol) for item in (records[0], record))
        differing = {name: f"{one[name]!r} and {other[name]!r}" for name in one if one[name] != other[name]}
        if differing:
            raise UserError(
                f"{records[0].model.name} and {record.model.name} were measured under different protocols: "
                + "; ".join(f"{name} is {values}" for name, values in differing.items()),
                "protocol",
                tuple(differing),
            )


def check_not_replaced(
    earlier: Sequence[Record], model: ModelIdentity, data_sha256: str, setting: Mapping[str, Any]
) -> None:
    """Raises UserError if results would take the place of those of the same model on other videos.

    Args:
        earlier: the records that are there.
        model: the model that will be measured.
        data_sha256: of the videos that it will be measured on.
        setting: those fields of the protocol that are known before; results on other settings are kept.
    """
    for record in earlier:
        same = record.model == model and all(getattr(record.protocol, name) == value for name, value in setting.items())
        if same and record.data_sha256 not in ("", data_sha256):
            raise UserError(
                f"there are results of {model.name} on other videos of {record.protocol.data} (data_sha256 is "
                f"{record.data_sha256[:12]}, not {data_sha256[:12]}), which would be replaced: give another --out",
                "data_sha256",
                data_sha256,
            )


def replaced(earlier: Sequence[Record], new: Sequence[Record]) -> tuple[Record, ...]:
    """Returns all records; of those with the same protocol and model only the new one."""

    def key(record: Record) -> tuple[str, ModelIdentity]:
        return record.protocol.sha256, record.model

    again = {key(record) for record in new}
    return (*(record for record in earlier if key(record) not in again), *new)


def write_records(path: str | os.PathLike[str], records: Sequence[Record]) -> None:
    """Writes a JSON list of records. Raises UserError if the file cannot be written."""
    content = [record.to_json() for record in records]
    files.write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_records(path: str | os.PathLike[str]) -> tuple[Record, ...]:
    """Returns what `write_records` wrote. Raises UserError if the file is missing or holds something else."""
    try:
        content = json.loads(files.location(path).read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", value=str(path)) from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}", value=str(path)) from error
    try:
        return tuple(Record.from_json(item) for item in content)
    except (UserError, TypeError) as error:
        raise UserError(f"{path}: {error}", value=str(path)) from error
