"""What the package knows about a data set, as one object: `PreparedDataSet` or `EmbeddedDataSet`.

The objects of all data sets are in `registry.DATA_SETS`; each is defined in `NAME/spec.py`.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from ml_collections import ConfigDict

from i2v_jax.data.expected import Expected
from i2v_jax.data.protocol import FOLDER
from i2v_jax.data.protocol import Protocol as EvaluationProtocol
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError
from i2v_jax.input.procedural.source import ProceduralSource
from i2v_jax.input.sources import VideoSource, open_source


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet(abc.ABC):
    """A data set of videos.

    Attributes:
        protocol: how models are evaluated on it.
        config: its configuration as `--config` takes it, `FILE` or `FILE:ARGUMENTS`; empty: there is none.
        release_fields: of each of the authors' releases that has the data set ("cinn", "poke"), the fields of the
            section `Data` that select it.
        license, citation: of the data.
    """

    protocol: EvaluationProtocol = FOLDER
    config: str = ""
    release_fields: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    license: str = "that of the videos"
    citation: str = ""

    # Whether a clip shows the whole motion of its video, however many frames it has.
    whole_motion: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The value of `data.name` in a configuration."""

    @property
    @abc.abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The labels that its clips have, by their names in `input/labels.py`."""

    @abc.abstractmethod
    def open(self, data: ConfigDict, split: str) -> VideoSource:
        """Opens a split.

        Args:
            data: the `data` part of a configuration.
            split: "train", "eval" or "test".

        Raises:
            UserError: the data set was not prepared, or has no such split.
        """

    def repeats(self, name: str, split: str) -> int:
        """Returns how often the video of a name counts in an epoch of a split, as the authors' lists have it."""
        del name, split
        return 1

    def describe(self, data: ConfigDict) -> str:
        """Returns the name, and the fields of `data` that change what the clips show, for records."""
        del data
        return self.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreparedDataSet(DataSet):
    """A data set whose files the user brings and `launch.prepare` converts.

    Attributes:
        builder: finds and labels its videos.
        expected: what the published data set has; empty if it is not published.
    """

    builder: type[VideoBuilder]
    expected: tuple[Expected, ...] = ()

    @property
    def name(self) -> str:
        return self.builder.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self.builder.LABELS

    def open(self, data: ConfigDict, split: str) -> VideoSource:
        return open_source(self.name, data.dir, split, data.splits[split].split("+"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddedDataSet(DataSet):
    """A data set that is drawn when it is read: `data.num_clips` videos of `data.size` pixels, one clip each."""

    source: type[ProceduralSource]
    license: str = "MIT, as the package that draws it"

    @property
    def name(self) -> str:
        return self.source.dataset

    @property
    def labels(self) -> tuple[str, ...]:
        return self.source.label_names

    def open(self, data: ConfigDict, split: str) -> VideoSource:
        if data.splits[split] != split:
            field = f"data.splits.{split}"
            raise UserError(
                f"{field}={data.splits[split]}: {self.name!r} is drawn and joins no splits: leave it out",
                field,
                data.splits[split],
            )
        return self.source(split, data.num_clips[split], (data.frames - 1) * data.frame_stride + 1, data.size)


@runtime_checkable
class KnownAnswers(Protocol):
    """A data set that knows what its scenes do when they are poked."""

    def true_answers(
        self,
        data: ConfigDict,
        split: str,
        index: int,
        position: Sequence[float],
        displacement: Sequence[float],
        count: int,
        seed: int,
    ) -> np.ndarray:
        """Returns `count` answers of a scene to one poke, drawn from what the poke leaves open.

        Args:
            data: the `data` part of a configuration; `data.frames` is 1 + T.
            split: "train", "eval" or "test".
            index: the scene.
            position: (x, y) in pixels.
            displacement: (dx, dy) in pixels, from the first to the last frame.
            count: S.
            seed: of what is drawn.

        Returns:
            uint8 [S, T, H, W, 3], without the start frame.
        """
