"""Reads the metrics of training steps late, and stops a training whose metrics are not finite."""

import jax
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.tasks.base import Metrics


class NonFiniteError(UserError):
    """A loss or gradient is not finite."""


class MetricWatch:
    """Reads the metrics of a step while the next one runs, so that nothing waits for them."""

    def __init__(self, stage: str, start: int) -> None:
        self._stage, self._good = stage, start
        self._pending: tuple[int, Metrics] | None = None

    def see(self, step: int, metrics: Metrics) -> dict[int, dict[str, float]]:
        """Stores the metrics of `step` and returns those of the step before, if new. Raises NonFiniteError."""
        seen = self.flush()
        self._pending = (step, metrics)
        return seen

    def flush(self) -> dict[int, dict[str, float]]:
        """Returns the latest step and its metrics, if new. Raises NonFiniteError."""
        if self._pending is None:
            return {}
        step, metrics = self._pending
        self._pending = None
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        bad = {name: value for name, value in values.items() if not np.isfinite(value)}
        if bad:
            found, optimizer = ", ".join(f"{name}={value}" for name, value in bad.items()), f"{self._stage}.optimizer"
            raise NonFiniteError(
                f"{self._stage}: {found} at step {step} (all finite up to step {self._good}); earlier checkpoints are "
                f"kept: lower {optimizer}.learning_rate, set {optimizer}.clip_norm, or for the stage flow set "
                "flow.network.scale=softclamp",
                *next(iter(bad.items())),
            )
        self._good = step
        return {step: values}
