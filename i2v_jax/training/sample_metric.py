"""A metric of what a task makes of held-out clips, by which the best checkpoint is kept."""

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from i2v_jax.errors import UserError
from i2v_jax.metrics.base import REAL, Reads
from i2v_jax.metrics.registry import get_metric
from i2v_jax.tasks.base import Batch, Networks, Task

Features = tuple[jax.Array, ...]  # each [B, ...]
_MADE = "0"  # the part of a metric's state for generated clips


class SampleMetric:
    """Compares the first two rows of a task's preview: the real clips, and their reconstructions or samples."""

    def __init__(self, name: str, task: Task) -> None:
        """`name` is that of a metric of sets or of pairs of clips.

        Raises:
          UserError: a metric of another kind; missing weights (the message has the command that gets them).
        """
        self._metric, self._task = get_metric(name), task
        if self._metric.reads not in (Reads.SETS, Reads.PAIRS):
            raise UserError(
                f"invalid value for train.evaluate_metric: {name!r} (must be a metric that compares clips, such as "
                "fvd, lpips or psnr)",
                field="train.evaluate_metric",
                value=name,
            )
        self.name, self.higher_is_better = name, self._metric.higher_is_better
        self.weights = self._metric.load()

    @staticmethod
    def fits(name: str, task: Task, batch: Any) -> bool:
        """Returns whether the task makes clips that the metric is defined for; `batch` is a specification."""
        return len(task.preview_rows) > 1 and get_metric(name).fits(max(1, batch["video"].shape[1] - 1))

    def features(self, weights: Any, networks: Networks, batch: Batch, rng: jax.Array) -> Features:
        """Returns what `value` needs of each clip of a batch. Traced by `jax.jit`."""
        real, made = self._task.preview(networks, batch, rng)[:2]
        if real.shape[1] > 1:  # the start frame is given
            real, made = real[:, 1:], made[:, 1:]
        if self._metric.reads is Reads.SETS:
            return tuple(self._metric.extract_in_float32(weights, clips) for clips in (real, made))
        return (self._metric.extract_in_float32(weights, real, made),)

    def value(self, features: tuple[NDArray[Any], ...]) -> float:
        """Returns the metric of all clips, each [N, ...]. Raises UserError for fewer than two clips."""
        state = self._metric.init()
        for part, rows in zip((REAL, _MADE) if len(features) > 1 else (_MADE,), features, strict=True):
            state = self._metric.update(state, part, np.arange(len(rows)), rows, len(rows))
        return self._metric.compute(state).value
