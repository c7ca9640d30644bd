"""A metric of `evaluation` on what a task makes of held-out clips, to keep the checkpoint that is best by it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from i2v_jax.errors import UserError
from i2v_jax.metrics.conventions import convention
from i2v_jax.metrics.extractors import make_extractor
from i2v_jax.metrics.frechet import frechet_distance_of_table
from i2v_jax.tasks.base import Batch, Networks, Task

Features = tuple[jax.Array, ...]  # each [B, ...]


class SampleMetric:
    """Compares the first two rows of a task's preview: the truth, and its reconstruction or sample."""

    def __init__(self, metric: str, task: Task) -> None:
        """`metric` is a Fréchet or paired one.

        Raises:
          UserError: another kind of metric; missing weights (the message has the command that gets them).
        """
        self.name, self._task, self._convention = metric, task, convention(metric)
        if self._convention.kind not in ("frechet", "paired"):
            raise UserError(f"train.evaluate_metric={metric}: choose one that compares clips, like fvd, lpips or psnr")
        self._extractor = make_extractor(metric)
        self.weights = self._extractor.weights
        self.higher_is_better = self._convention.higher_is_better

    @staticmethod
    def fits(metric: str, task: Task, batch: Any) -> bool:
        """Whether the task makes clips that `metric` can be computed of; `batch` is a specification."""
        chosen, frames = convention(metric), batch["video"].shape[1]
        return (
            len(task.preview_rows) > 1
            and frames >= chosen.min_frames
            and not (chosen.max_frames and frames > chosen.max_frames)
        )

    def features(self, weights: Any, networks: Networks, batch: Batch, rng: jax.Array) -> Features:
        """Traced: what `value` needs of each clip of a batch."""
        truth, made = self._task.preview(networks, batch, rng)[:2]
        if self._convention.kind == "frechet":
            return tuple(self._extractor.function(weights, clips) for clips in (truth, made))
        if truth.shape[1] > 1:  # the start frame is given
            truth, made = truth[:, 1:], made[:, 1:]
        return (jnp.mean(self._extractor.function(weights, truth, made), axis=1),)

    def value(self, features: tuple[NDArray[Any], ...]) -> float:
        """Of all clips, each [N, ...]. Raises UserError for fewer than two clips."""
        if self._convention.kind == "frechet":
            truth, made = features
            return frechet_distance_of_table(self.name, truth, made)[0]
        return float(np.mean(features[0]))
