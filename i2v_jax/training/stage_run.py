"""What one training of a stage consists of."""

import dataclasses
import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from i2v_jax.input.pipeline import Pipeline
from i2v_jax.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class StageRun:
    """One training of a stage: its task, its data, and where results go."""

    name: str
    task: Task
    train: Pipeline
    evaluation: Pipeline
    steps: int
    config: ConfigDict  # the whole configuration
    folder: pathlib.Path
    classes: tuple[str, ...] = ()  # names of the rows of matrices among the metrics
    others: Mapping[str, Pipeline] = dataclasses.field(default_factory=dict)  # held-out clips of further data sets
    profile_steps: range = range(0)  # to trace, counted from 1, the first step that is taken
