"""The one training loop. It knows the interface of tasks, not what they learn."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from i2v_jax import logs
from i2v_jax.distributed import mesh as meshes
from i2v_jax.distributed import processes
from i2v_jax.errors import UserError
from i2v_jax.logs import logger
from i2v_jax.tasks.base import Batch
from i2v_jax.training import events
from i2v_jax.training.checkpoint import Checkpointer
from i2v_jax.training.held_out import HeldOut
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.overview import parameter_table
from i2v_jax.training.prefetch import DevicePrefetch
from i2v_jax.training.profile import Profiler
from i2v_jax.training.programs import Programs
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.stage_run import StageRun
from i2v_jax.training.state import TrainState
from i2v_jax.training.throughput import Throughput, summary
from i2v_jax.training.watch import MetricWatch
from i2v_jax.training.watchdog import Watchdog
from i2v_jax.training.writers import MetricWriter


class Trainer:
    """Trains one stage on a mesh: sharded parameters, compiled steps, checkpoints, logs."""

    def __init__(self, stage: StageRun, mesh: Mesh, interruption: Interruption) -> None:
        config, task = stage.config, stage.task
        fields = config[stage.name]
        meshes.check_batch_size(stage.name, stage.train.global_batch_size, mesh, fields.accumulate)
        self._stage, self._mesh, self._interruption = stage, mesh, interruption
        train = stage.train
        self._programs = Programs(stage.name, task, config, mesh, train.batch_spec, train.steps_per_epoch)
        self.frozen = jax.device_put(task.frozen, self._programs.replicated)
        self._steps: dict[Any, Any] = {}
        self._throughput = Throughput(stage.train.global_batch_size, mesh)
        self._watchdog = Watchdog(stage.name, config.train.hang_seconds)
        self._held_out = HeldOut(stage, mesh, self.frozen, self._watchdog)
        best, highest = self._held_out.best
        self._checkpointer = Checkpointer(stage.folder, keep=config.train.keep, best=best, highest=highest)

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
                        held_out = self._held_out.evaluate(state, done, writer)
                if previews:
                    with throughput.aside("preview"):
                        self._held_out.write_preview(state, done)
                saving = self._is_due("checkpoint_every", done) or stopped or self._checkpointer.is_best(held_out)
                if saving:
                    self._watchdog.doing(f"saving after step {done}")
                    with throughput.aside("save"):
                        self._checkpointer.save(state, iterator.get_state(), self._stage.config, held_out)
                self._checkpointer.raise_failure()
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
            state = self._programs.placed(state)
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
