"""Traces of a few training steps, for TensorBoard, XProf and Perfetto."""

import contextlib
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jax

from i2v_jax.errors import UserError
from i2v_jax.logs import logger
from i2v_jax.training.throughput import Throughput


def parse_steps(text: str) -> range:
    """Returns the steps of "FIRST:LAST", both included. Raises UserError for any other text."""
    numbers = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= first <= last:
        raise UserError(
            f"invalid value for profile_steps: {text!r} (must be FIRST:LAST, as 10:15; the first step is 1)",
            "profile_steps",
            text,
        )
    return range(first, last + 1)


class Profiler:
    """Writes a trace of some steps into a folder. A context manager that ends a trace that is not complete."""

    def __init__(self, steps: range, folder: pathlib.Path, throughput: Throughput) -> None:
        """`steps`: counted from 1, the first step of this run. Empty: no trace."""
        self._steps, self._folder, self._throughput = steps, folder, throughput
        self._tracing = False
        self._last = 0

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()
        if self._steps and self._last < self._steps[0]:
            logger.warning(f"nothing is profiled: training ended after step {self._last} of this run")

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[list[Any]]:
        """Traces a step if it is one of those wanted. Yields a list for its outputs, which the last one waits for."""
        if self._steps and number == self._steps[0]:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # calls of Python functions, which would slow the host down
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True, profiler_options=options)
            self._tracing = True
        outputs: list[Any] = []
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield outputs
        self._last = number
        if self._steps and number == self._steps[-1]:
            jax.block_until_ready(outputs)
            self._stop()

    def _stop(self) -> None:
        if not self._tracing:
            return
        self._tracing = False
        with self._throughput.aside("profile"):
            jax.profiler.stop_trace()
        trace = max(self._folder.rglob("perfetto_trace.json.gz"), default=self._folder)
        logger.info(
            f"profiled steps {self._steps[0]} to {self._last}: `xprof --logdir={self._folder}` shows them (pip install "
            f"xprof), and ui.perfetto.dev opens {trace}"
        )
