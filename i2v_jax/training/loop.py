"""The one training loop. It knows the interface of tasks, not what they learn."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from i2v_jax import logs
from i2v_jax.distributed import mesh as meshes
from i2v_jax.distributed import processes
from i2v_jax.errors import UserError
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.logs import logger
from i2v_jax.tasks.base import Batch, Metrics, Networks, Task
from i2v_jax.training import events
from i2v_jax.training.checkpoint import Checkpointer
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.overview import parameter_table
from i2v_jax.training.prefetch import DevicePrefetch
from i2v_jax.training.profile import Profiler
from i2v_jax.training.programs import Programs
from i2v_jax.training.sample_metric import SampleMetric
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.state import TrainState, join
from i2v_jax.training.streams import Stream
from i2v_jax.training.throughput import Throughput, summary
from i2v_jax.training.watch import MetricWatch
from i2v_jax.training.watchdog import Watchdog
from i2v_jax.training.writers import MetricWriter, write_curves, write_matrix, write_preview


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


class Trainer:
    """Trains one stage on a mesh: sharded parameters, compiled steps, checkpoints, logs."""

    def __init__(self, stage: StageRun, mesh: Mesh, interruption: Interruption) -> None:
        config, task = stage.config, stage.task
        fields = config[stage.name]
        meshes.check_batch_size(stage.name, stage.train.global_batch_size, mesh, fields.accumulate)
        self._stage, self._mesh, self._interruption = stage, mesh, interruption
        train = stage.train
        self._programs = Programs(stage.name, task, config, mesh, train.batch_spec, train.steps_per_epoch)
        self._replicated, self._over_devices = self._programs.replicated, self._programs.over_devices
        self.frozen = jax.device_put(task.frozen, self._replicated)
        self._steps: dict[Any, Any] = {}
        self._throughput = Throughput(stage.train.global_batch_size, mesh)
        self._watchdog = Watchdog(stage.name, config.train.hang_seconds)
        self._evaluate = jax.jit(self._sum_metrics, out_shardings=self._replicated)
        self._preview = jax.jit(self._preview_rows, out_shardings=self._replicated)
        self._sample_metric = self._choose_sample_metric()
        best, highest = task.best, False
        if self._sample_metric:
            best, highest = self._sample_metric.name, self._sample_metric.higher_is_better
            self._metric_weights = jax.device_put(self._sample_metric.weights, self._replicated)
            self._features = jax.jit(self._sample_features, out_shardings=self._replicated)
        self._checkpointer = Checkpointer(stage.folder, keep=config.train.keep, best=best, highest=highest)

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

    def run(self) -> bool:
        """Trains to the last step, from the latest checkpoint if there is one. Returns False if a signal stops it.

        Raises:
          NonFiniteError: a metric is not finite; earlier checkpoints are kept.
          UserError: something cannot be read or written.
        """
        folder, writes = self._stage.folder, jax.process_index() == 0
        with contextlib.ExitStack() as opened:
            if writes:
                opened.enter_context(events.recording_failures(folder))
            opened.enter_context(self._watchdog)
            opened.callback(self.close)
            state, iterator = self.restore_or_init()
            opened.callback(iterator.close)
            writer = None
            if writes:
                logger.info(parameter_table(state.params, self.frozen))
                writer = opened.enter_context(MetricWriter(folder, int(state.step)))
                events.record_start(folder, int(state.step), self._stage.steps, self._mesh)
            finished = self._loop(state, iterator, writer)
        if writes:
            events.record(folder, "finished" if finished else "stopped", step=self._checkpointer.latest_step())
        return finished

    def close(self) -> None:
        """Waits for the checkpoint that is being written. Raises UserError if it cannot be written."""
        self._watchdog.doing("waiting for the last checkpoint to be written")
        self._checkpointer.close()

    def _loop(self, state: TrainState, iterator: Any, writer: MetricWriter | None) -> bool:
        start, steps = int(state.step), self._stage.steps
        watch, throughput = MetricWatch(self._stage.name, start), self._throughput
        progress = logs.progress(
            total=steps, initial=start, desc=self._stage.name, unit="step", disable=writer is None, smoothing=0.1
        )
        traced = self._stage.profile_steps if jax.process_index() == 0 else range(0)
        profiler = Profiler(traced, self._stage.folder / "profile", throughput)
        throughput.start()
        with progress, profiler:
            for done in range(start + 1, steps + 1):
                self._watchdog.doing(f"reading the data of step {done}")
                with throughput.waiting():
                    batch = next(iterator)
                self._watchdog.doing("")  # a compilation takes as long as it takes
                program = self.compiled_step(done - 1, state, batch)
                self._watchdog.doing(f"waiting for step {done - 1}, of which every process computes its part")
                throughput.begin_step(program)
                with profiler.step(done - start) as outputs:
                    state, metrics = program(state, self.frozen, batch)
                    outputs.append(metrics)
                seen = watch.see(done, metrics)
                stopped = self._interruption.reached(done) and done < steps
                held_out: dict[str, float] = {}
                evaluates, previews = self._is_due("evaluate_every", done), self._is_due("preview_every", done)
                if evaluates or previews or self._is_due("checkpoint_every", done) or stopped:
                    seen |= watch.flush()  # so that what follows is not timed with the step
                logged = {step: values for step, values in seen.items() if self._is_due("log_every", step)}
                if writer:  # before the checkpoint: a run that continues from it has the lines of all its steps
                    for step, values in logged.items():
                        writer.write(step, values)
                if evaluates:
                    with throughput.aside("evaluate"):
                        held_out = self._run_evaluation(state, done, writer)
                if previews:
                    with throughput.aside("preview"):
                        self._write_preview(state, done)
                saving = self._is_due("checkpoint_every", done) or stopped or self._checkpointer.is_best(held_out)
                if saving:
                    self._watchdog.doing(f"saving after step {done}")
                    with throughput.aside("save"):
                        self._checkpointer.save(state, iterator.get_state(), self._stage.config, held_out)
                throughput.end_steps(len(seen))
                if writer and logged:
                    self._report(writer, logged, progress)
                if writer and saving:
                    writer.flush()
                progress.update()
                if stopped:
                    return False
        return True

    def _report(self, writer: MetricWriter, metrics: Mapping[int, Mapping[str, float]], progress: logs.Lines) -> None:
        """Writes the throughput since the last report, and shows it with the latest of `metrics`, by step."""
        step, values = max(metrics.items(), key=lambda item: item[0])
        report = self._throughput.report()
        writer.write(step, report, prefix="system/")
        terms = [f"{name}={value:.4g}" for name, value in values.items() if not name.startswith("gradient_norm")]
        progress.set_postfix_str(", ".join([*terms[:4], summary(report)]), refresh=False)

    def _is_due(self, name: str, step: int) -> bool:
        every = self._stage.config.train[name] or self._stage.train.steps_per_epoch
        return step % every == 0 or step == self._stage.steps

    def restore_or_init(self) -> tuple[TrainState, Any]:
        """Returns state and data iterator of the latest checkpoint, or before the first step.

        Checkpoint 0 comes from an import: it has some networks, but no optimizer and no data position.
        """
        place = functools.partial(meshes.global_batch, mesh=self._mesh)
        iterator = DevicePrefetch(self._stage.train.iterator(), place, self._stage.config.train.device_prefetch)
        latest = processes.agree(self._checkpointer.latest_step)
        if latest:
            state, position = self._checkpointer.restore(self._programs.state, latest)
            iterator.set_state(position)
            logger.info(f"{self._stage.name}: continuing after step {latest} of {self._stage.steps}")
            return state, iterator
        first = self._stage.train.iterator()
        batch = meshes.global_batch(next(first), self._mesh)
        first.close()
        state = self._programs.init()(self.frozen, batch)
        return state if latest is None else self._with_imported(state), iterator

    def _with_imported(self, state: TrainState) -> TrainState:
        """Returns the state before the first step, with the networks of checkpoint 0, where averages start.

        Raises:
          UserError: the networks do not fit this configuration.
        """
        imported = load_networks(self._stage.folder, step=0)
        params = {**state.params, **imported["params"]}
        model_state = {**state.model_state, **imported["model_state"]}
        ema = {name: params[name] for name in state.ema}
        adopted = dataclasses.replace(state, params=params, model_state=model_state, ema=ema)
        if jax.tree.map(jnp.shape, adopted) != jax.tree.map(jnp.shape, state):
            raise UserError(
                f"the networks imported into {self._stage.folder} do not fit this configuration: give the --config "
                "that the import printed, or import again into another --workdir",
                "config",
            )
        logger.info(f"{self._stage.name}: starting from the imported {', '.join(sorted(imported['params']))}")
        return self._programs.adopt()(adopted)

    def compiled_step(self, step: int, state: TrainState, batch: Batch) -> Any:
        """Returns the compiled program (state, frozen, batch) -> (state, metrics) of the updates that run at `step`.

        There is one for each set of updates and each length of clips.
        """
        active = [update for update in self._stage.task.updates if update.runs_at(step)]
        names = tuple(update.name for update in active)
        shapes = {name: array.shape for name, array in batch.items()}
        key = names, tuple(shapes.items())
        if key not in self._steps:
            began = time.monotonic()
            self._steps[key] = self._programs.lower_step(active, state, self.frozen, batch).compile()
            self._throughput.compiled(self._steps[key], time.monotonic() - began)
            memory = self._steps[key].memory_analysis()
            used = f", {memory.temp_size_in_bytes / 2**20:.0f} MiB of temporaries" if memory else ""
            longest = {name: array.shape for name, array in self._stage.train.batch_spec.items()}
            shorter = f" for clips of {shapes['video'][1]} frames" if shapes != longest else ""
            took = f"{' + '.join(names)}{shorter} in {time.monotonic() - began:.1f} s"
            logger.info(f"{self._stage.name}: compiled {took}{used}")
        return self._steps[key]

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
        batch = jax.lax.with_sharding_constraint(batch, self._over_devices)
        rows = self._stage.task.preview(self._networks(state, frozen), batch, rng)
        return tuple(row[:shown] for row in rows)

    def _sample_features(self, state: TrainState, frozen: Networks, weights: Any, batch: Batch, rng: jax.Array) -> Any:
        assert self._sample_metric is not None
        return self._sample_metric.features(weights, self._networks(state, frozen), batch, rng), batch["valid"]

    def _evaluation_batches(self, pipeline: Pipeline, clips: int) -> Any:
        count = pipeline.steps_per_epoch
        if clips:
            count = min(count, -(-clips // pipeline.global_batch_size))
        iterator = pipeline.iterator()
        try:
            for batch in itertools.islice(iterator, count):
                yield meshes.global_batch(batch, self._mesh)
        finally:
            iterator.close()

    def _run_evaluation(self, state: TrainState, step: int, writer: MetricWriter | None) -> dict[str, float]:
        """Returns means over the held-out clips; those of further data sets are in the log only."""
        metrics = self._evaluate_clips(self._stage.evaluation, "", state, step, writer)
        for name, pipeline in self._stage.others.items():
            self._evaluate_clips(pipeline, name, state, step, writer)
        if writer:
            write_curves(self._stage.folder)
        return metrics

    def _evaluate_clips(
        self, pipeline: Pipeline, other: str, state: TrainState, step: int, writer: MetricWriter | None
    ) -> dict[str, float]:
        """Returns means over held-out clips, with the same clips and random numbers every time.

        `other` is the name of their data set if it is not that of `evaluation`.
        """
        totals: dict[str, Any] = {}
        count = 0
        features: list[tuple[np.ndarray, ...]] = []
        key = jax.random.fold_in(jax.random.key(self._stage.config.seed), Stream.EVALUATE)
        for index, batch in enumerate(self._evaluation_batches(pipeline, self._stage.config.train.evaluate_clips)):
            self._watchdog.doing(f"evaluating batch {index + 1} after step {step}")
            rng = jax.random.fold_in(key, index)
            sums, valid = self._evaluate(state, self.frozen, batch, rng)
            totals = {name: totals.get(name, 0.0) + np.asarray(value) for name, value in sums.items()}
            count += int(valid)
            if self._sample_metric:
                rows, chosen = self._features(state, self.frozen, self._metric_weights, batch, rng)
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

    def _write_preview(self, state: TrainState, step: int) -> None:
        key = jax.random.fold_in(jax.random.key(self._stage.config.seed), Stream.PREVIEW)
        self._watchdog.doing(f"making the preview of step {step}")
        (batch,) = self._evaluation_batches(self._stage.evaluation, 1)
        rows = jax.device_get(self._preview(state, self.frozen, batch, key))
        if jax.process_index() == 0:
            write_preview(self._stage.folder, step, dict(zip(self._stage.task.preview_rows, rows, strict=True)))
