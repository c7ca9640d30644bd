"""One object per metric: what it reads, how it sees frames, what it keeps of each clip, and the value that results.

An evaluation calls `extract_in_float32` on batches of clips, on devices and under `jax.jit`. What it returns for each
clip goes into a state by `update`. States of several processes and of several runs are put together by `merge`, and
`compute` turns a state into a value. A state maps a part ("real", "spare", or the number of a repeat) to an
accumulator.

A new metric is a subclass of `Metric`, or of one of the classes in `metrics.kinds` and `metrics.frechet_metrics`; an
instance of it is added with `metrics.registry.register`.
"""

import abc
import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from i2v_jax.metrics import accumulators
from i2v_jax.metrics.accumulators import Accumulator, ClipTable
from i2v_jax.metrics.preprocessing import Preprocessing
from i2v_jax.pretrained import weights

NO_WEIGHTS = "none"

# Parts of a state. The generated clips of repeat r are the part `str(r)`.
REAL, SPARE = "real", "spare"

State = Mapping[str, Accumulator]


class Reads(enum.Enum):
    """What a metric is computed from, and so the arguments of its `extract`, each [B, T, H, W, 3] in [-1, 1]."""

    SETS = "the set of real and the set of generated clips"  # extract(variables, clips), of either set
    PAIRS = "each generated clip and the real one"  # extract(variables, real, generated)
    SAMPLES = "several samples of one start frame"  # extract(variables, samples [B, S, T, H, W, 3])
    LIKELIHOOD = "log p(z | x0) of each real clip"  # extract(variables, nats [B])


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network that a metric uses."""

    name: str  # in records
    weights: str  # in `pretrained.backbones`
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of the module, where they differ

    def module(self) -> Any:
        """Returns the Flax module."""
        module = weights.module(self.weights)
        return module.clone(**self.fields) if self.fields else module


@dataclasses.dataclass(frozen=True)
class Score:
    """The value of a metric in one repeat."""

    value: float
    curve: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(0))  # per frame [T], or empty


@dataclasses.dataclass(frozen=True)
class Floor:
    """The metric between two disjoint sets of real clips, which start from different frames.

    A model can score below it: each generated clip shares its start frame with a real clip, so the two sets show the
    same scenes, whereas the two real sets show different ones. On the embedded sky a model reaches 99.5 where two real
    sets are 203 apart. It is a scale to read a value against, not what a perfect model gets.
    """

    mean: float
    std: float | None  # over repeats
    clips: int  # in each set: as many as were generated, or half of the real ones if the split has no more
    repeats: int  # random divisions of the real clips into two sets

    @property
    def description(self) -> str:
        """One sentence for a page or a tooltip."""
        return (
            f"Distance between two sets of {self.clips} real clips each, mean of {self.repeats} random divisions. "
            "The two sets start from different frames. Generated clips share their start frames with the real ones, "
            "so a model can score lower than this."
        )

    @classmethod
    def of(cls, distances: Iterable[float], clips: int) -> "Floor":
        """Returns the floor from distances between sets of `clips` real clips."""
        values = list(distances)
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(math.fsum(values) / len(values), std, clips, len(values))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Metric(abc.ABC):
    """A metric, with all that defines it beyond the clips that it sees."""

    name: str  # that users type and records contain
    title: str  # short, for the heads of tables: "PSNR"
    full_name: str  # for people: "Peak signal-to-noise ratio"
    unit: str = ""  # for people: "dB"
    higher_is_better: bool = False
    printed_times: float = 1.0  # papers print the value times this
    backbone: Backbone | None = None
    layer: str = "none"  # of the backbone
    preprocessing: Preprocessing = dataclasses.field(default_factory=Preprocessing)
    min_frames: int = 1
    max_frames: int = 0  # 0: any number
    min_clips: int = 2
    release: str = ""  # the metric that the authors' scripts compute in place of this one, if it is another
    release_batch: int = 1  # the authors' script drops the clips that do not fill a batch of this size
    release_start_frame: bool = False  # the authors' script includes x0 where the protocol does not score it
    version: int = 1  # raised when the same input gives another number

    reads: ClassVar[Reads]
    # Whether whole videos are compared. The protocol says if x0 is their first frame, and their type.
    of_videos: ClassVar[bool] = False
    covariance_ddof: ClassVar[int | None] = None  # None: the metric has no covariance
    matrix_square_root: ClassVar[str] = "none"

    @property
    def table(self) -> str:
        """The name under which the states are kept. Metrics that share it share what `extract` returns."""
        return self.name

    def fits(self, frames: int) -> bool:
        """Returns whether the metric is defined for clips of so many frames."""
        return frames >= self.min_frames and not (self.max_frames and frames > self.max_frames)

    def weights_sha256(self) -> str:
        """Returns the hash of the backbone's weights.

        Raises:
            UserError: the weights are missing or damaged; the message has the command that gets them.
        """
        return weights.source_sha256(self.backbone.weights) if self.backbone else NO_WEIGHTS

    def load(self) -> Any:
        """Returns the variables of the backbone, for `extract`. Raises UserError as `weights_sha256`."""
        return weights.load(self.backbone.weights) if self.backbone else {}

    @abc.abstractmethod
    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        """Returns what is kept of each clip, [B, ...]. Each row depends on its own clip alone. Traced by `jax.jit`.

        Args:
            variables: the result of `load`. They are an argument so that no program contains them.
            *videos: depend on `reads`.
        """

    def extract_in_float32(self, variables: Any, *videos: jax.Array) -> jax.Array:
        """Returns `extract` with products of full float32 precision on every device.

        By default a GPU rounds their factors to TensorFloat-32 and a TPU to bfloat16, which no published value was
        computed with.
        """
        with jax.default_matmul_precision("highest"):
            return self.extract(variables, *videos)

    def init(self) -> State:
        """Returns the state of no clips."""
        return {}

    def update(self, state: State, part: str, index: ArrayLike, rows: ArrayLike, total: int) -> State:
        """Returns the state with more clips.

        Args:
            state: is not changed.
            part: REAL, SPARE or `str(repeat)`.
            index: the clips' numbers [B], below `total`.
            rows: what `extract` returned for them, [B, ...].
            total: the number of clips that the metric takes.
        """
        rows = np.asarray(rows)
        return self.merge(state, {part: ClipTable.empty(*rows.shape[1:]).add(index, rows)})

    def merge(self, state: State, other: State) -> State:
        """Returns the state of the clips of both. Raises UserError if a clip is in both."""
        return accumulators.merge_all(state, other)

    @abc.abstractmethod
    def compute(self, state: State, repeat: int = 0, latent_dimensions: int = 0) -> Score:
        """Returns the value of one repeat.

        Args:
            state: of all clips.
            repeat: its generated clips are the part `str(repeat)`.
            latent_dimensions: of the z that has a likelihood; metrics of other kinds ignore it.

        Raises:
            UserError: too few clips.
        """

    def clip_values(self, state: State, repeat: int = 0, latent_dimensions: int = 0) -> NDArray[np.float64] | None:
        """Returns the value of each clip [N], in the order of their numbers; None if single clips have no value."""
        return None

    def floor(self, state: State, total: int) -> Floor | None:
        """Returns the metric between two sets of real clips; None if it does not compare sets.

        Raises:
            UserError: too few real clips.
        """
        return None


def rows_of(state: State, part: str) -> NDArray[np.float64]:
    """Returns the rows [N, ...] of a part, in the order of the clips' numbers, as float64."""
    table = state[part]
    assert isinstance(table, ClipTable)
    return table.values.astype(np.float64)
