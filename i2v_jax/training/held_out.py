"""What a training does with held-out clips: it measures the networks as they are now, and shows what they make."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from i2v_jax.distributed import mesh as meshes
from i2v_jax.distributed import processes
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.logs import logger
from i2v_jax.tasks.base import Batch, Metrics, Networks
from i2v_jax.training.sample_metric import SampleMetric
from i2v_jax.training.stage_run import StageRun
from i2v_jax.training.state import TrainState, join
from i2v_jax.training.streams import Stream
from i2v_jax.training.watchdog import Watchdog
from i2v_jax.training.writers import MetricWriter, write_curves, write_matrix, write_preview


class HeldOut:
    """Evaluations and previews of one stage, with the same clips and random numbers every time."""

    def __init__(self, stage: StageRun, mesh: Mesh, frozen: Networks, watchdog: Watchdog) -> None:
        """`frozen` are the networks of the task that are not trained, on the mesh."""
        self._stage, self._mesh, self._frozen, self._watchdog = stage, mesh, frozen, watchdog
        replicated = meshes.replicated(mesh)
        self._evaluate = jax.jit(self._sum_metrics, out_shardings=replicated)
        self._preview = jax.jit(self._preview_rows, out_shardings=replicated)
        self._sample_metric = self._choose_sample_metric()
        if self._sample_metric:
            self._metric_weights = jax.device_put(self._sample_metric.weights, replicated)
            self._features = jax.jit(self._sample_features, out_shardings=replicated)

    def _choose_sample_metric(self) -> SampleMetric | None:
        """Returns the metric of `train.evaluate_metric`, None if it does not fit the clips of this stage."""
        metric, stage = self._stage.config.train.evaluate_metric, self._stage
        if not metric:
            return None
        if not SampleMetric.fits(metric, stage.task, stage.evaluation.batch_spec):
            logger.info(
                f"{stage.name}: {metric} does not fit the clips: the best checkpoint is chosen by {stage.task.best}"
            )
            return None
        return SampleMetric(metric, stage.task)

    @property
    def best(self) -> tuple[str, bool]:
        """The metric that says which checkpoint is the best, and whether a higher value is better."""
        if self._sample_metric:
            return self._sample_metric.name, self._sample_metric.higher_is_better
        return self._stage.task.best, False

    def evaluate(self, state: TrainState, step: int, writer: MetricWriter | None) -> dict[str, float]:
        """Returns means over the held-out clips; those of further data sets are in the log only."""
        metrics = self._evaluate_clips(self._stage.evaluation, "", state, step, writer)
        for name, pipeline in self._stage.others.items():
            self._evaluate_clips(pipeline, name, state, step, writer)
        if writer:
            write_curves(self._stage.folder)
        return metrics

    def write_preview(self, state: TrainState, step: int) -> None:
        """Writes the preview of a step, from the first process."""
        key = jax.random.fold_in(jax.random.key(self._stage.config.seed), Stream.PREVIEW)
        self._watchdog.doing(f"making the preview of step {step}")
        (batch,) = self._batches(self._stage.evaluation, 1)
        rows = jax.device_get(self._preview(state, self._frozen, batch, key))
        if jax.process_index() == 0:
            write_preview(self._stage.folder, step, dict(zip(self._stage.task.preview_rows, rows, strict=True)))

    def _evaluate_clips(
        self, pipeline: Pipeline, other: str, state: TrainState, step: int, writer: MetricWriter | None
    ) -> dict[str, float]:
        """Returns means over held-out clips; `other` names their data set if it is not that of `evaluation`."""
        totals: dict[str, Any] = {}
        count = 0
        features: list[tuple[np.ndarray, ...]] = []
        key = jax.random.fold_in(jax.random.key(self._stage.config.seed), Stream.EVALUATE)
        for index, batch in enumerate(self._batches(pipeline, self._stage.config.train.evaluate_clips)):
            self._watchdog.doing(f"evaluating batch {index + 1} after step {step}")
            rng = jax.random.fold_in(key, index)
            sums, valid = self._evaluate(state, self._frozen, batch, rng)
            totals = {name: totals.get(name, 0.0) + np.asarray(value) for name, value in sums.items()}
            count += int(valid)
            if self._sample_metric:
                rows, chosen = self._features(state, self._frozen, self._metric_weights, batch, rng)
                features.append(tuple(np.asarray(row)[np.asarray(chosen)] for row in rows))
        matrices = {name: total for name, total in totals.items() if np.ndim(total)}
        metrics = {name: float(total) / count for name, total in totals.items() if name not in matrices}
        if self._sample_metric:
            whole = tuple(np.concatenate(parts) for parts in zip(*features, strict=True))
            metrics[self._sample_metric.name] = self._sample_metric.value(whole)
        metrics = processes.agree(lambda: metrics)  # they decide on checkpoints, and processors may round differently
        if writer:
            writer.write(step, metrics, prefix=f"eval/{other}/" if other else "eval/")
            for name, matrix in matrices.items():
                write_matrix(self._stage.folder, step, name, matrix, self._stage.classes)
        summary = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        of = f" of {other}" if other else ""
        logger.info(f"{self._stage.name}: step {step}, {count} held-out clips{of}: {summary}")
        return metrics

    def _batches(self, pipeline: Pipeline, clips: int) -> Iterator[Batch]:
        """Yields the batches with the first `clips` held-out clips; 0: all."""
        count = pipeline.steps_per_epoch
        if clips:
            count = min(count, -(-clips // pipeline.global_batch_size))
        iterator = pipeline.iterator()
        try:
            for batch in itertools.islice(iterator, count):
                yield meshes.global_batch(batch, self._mesh)
        finally:
            iterator.close()

    def _networks(self, state: TrainState, frozen: Networks) -> Networks:
        """Returns the networks that sampling would use, with averaged parameters where they are kept."""
        return {**join({**state.params, **state.ema}, state.model_state), **frozen}

    def _sum_metrics(
        self, state: TrainState, frozen: Networks, batch: Batch, rng: jax.Array
    ) -> tuple[Metrics, jax.Array]:
        metrics = self._stage.task.evaluate(self._networks(state, frozen), batch, rng)
        valid = batch["valid"]

        def total(value: jax.Array) -> jax.Array:
            return jnp.sum(jnp.where(valid.reshape(-1, *(1,) * (value.ndim - 1)), value, 0.0), axis=0)

        return {name: total(value) for name, value in metrics.items()}, jnp.sum(valid)

    def _preview_rows(self, state: TrainState, frozen: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        """Returns the rows of a preview, made from no more clips than the devices need to share its clips evenly."""
        shown = self._stage.config.train.previews
        batch = {name: array[: self._mesh.size * -(-shown // self._mesh.size)] for name, array in batch.items()}
        batch = jax.lax.with_sharding_constraint(batch, meshes.batch_sharding(self._mesh))
        rows = self._stage.task.preview(self._networks(state, frozen), batch, rng)
        return tuple(row[:shown] for row in rows)

    def _sample_features(self, state: TrainState, frozen: Networks, weights: Any, batch: Batch, rng: jax.Array) -> Any:
        assert self._sample_metric is not None
        return self._sample_metric.features(weights, self._networks(state, frozen), batch, rng), batch["valid"]
