"""How fast a training is: the time of its steps, what they wait for, and the share of the devices' peak."""

import collections
import contextlib
import time
from collections.abc import Iterator, Mapping

import jax
from jax.sharding import Mesh

from i2v_jax.training.cost import program_cost
from i2v_jax.training.peaks import peak_flops


class Throughput:
    """Times a training on the host, without waiting for the devices.

    The host runs one step ahead of the devices, so the time between two of its steps is the time of a step there.
    """

    def __init__(self, examples: int, mesh: Mesh) -> None:
        """`examples`: of a step, over all devices of the mesh."""
        self._examples, self._mesh = examples, mesh
        self._peak = peak_flops(mesh.devices.flat[0].device_kind)
        self._programs: dict[jax.stages.Compiled, float] = {}  # program -> FLOP per device
        self._running: collections.deque[float] = collections.deque()  # FLOP of the steps under way
        self.start()

    def start(self) -> None:
        """Measures from now on."""
        self._began = time.perf_counter()
        self._steps, self._flops, self._waited = 0, 0.0, 0.0
        self._aside: dict[str, float] = {}

    def compiled(self, program: jax.stages.Compiled, seconds: float) -> None:
        """Takes note of a program that took `seconds` to compile."""
        self._programs[program] = program_cost(program).flops
        self._add_aside("compile", seconds)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Times waiting for data."""
        began = time.perf_counter()
        with jax.profiler.TraceAnnotation("data"):
            yield
        self._waited += time.perf_counter() - began

    @contextlib.contextmanager
    def aside(self, name: str) -> Iterator[None]:
        """Times what is not part of a step, such as saving. Enter it when the devices are done with the steps."""
        began = time.perf_counter()
        with jax.profiler.TraceAnnotation(name):
            yield
        self._add_aside(name, time.perf_counter() - began)

    def _add_aside(self, name: str, seconds: float) -> None:
        self._aside[name] = self._aside.get(name, 0.0) + seconds

    def begin_step(self, program: jax.stages.Compiled) -> None:
        """Takes note of a step that the devices get to run."""
        self._running.append(self._programs[program])

    def end_steps(self, count: int) -> None:
        """Takes note that the devices are done with the oldest `count` steps that they got."""
        self._steps += count
        self._flops += sum(self._running.popleft() for _ in range(count))

    def report(self) -> dict[str, float]:
        """Returns what was measured since the last report, in at least one step.

        step_seconds: of a step, without what is aside
        examples_per_second_per_device
        data_wait: share of that time in which the host waited for data
        teraflops: 10^12 operations per second on each device, of products and convolutions
        mfu: model FLOP utilization, the share of the device's bfloat16 peak, if that is known
        memory_peak_gib: the most that any device of this host has used so far, if it says so
        NAME_seconds: for each name of `aside`
        """
        aside = dict(self._aside)
        seconds = time.perf_counter() - self._began - sum(aside.values())
        flops = self._flops / seconds
        report = {
            "step_seconds": seconds / self._steps,
            "examples_per_second_per_device": self._examples * self._steps / seconds / self._mesh.size,
            "data_wait": self._waited / seconds,
            "teraflops": flops / 1e12,
        }
        if self._peak:
            report["mfu"] = flops / self._peak
        memory = [stats for device in self._mesh.local_devices if (stats := device.memory_stats())]
        if memory:
            report["memory_peak_gib"] = max(stats["peak_bytes_in_use"] for stats in memory) / 2**30
        self.start()
        return report | {f"{name}_seconds": spent for name, spent in aside.items()}


def summary(report: Mapping[str, float]) -> str:
    """Returns a report in a few words, for a progress bar."""
    speed = f"{1e3 * report['step_seconds']:.4g} ms, {report['examples_per_second_per_device']:.3g} examples/s/device"
    share = [f"MFU {report['mfu']:.0%}"] if "mfu" in report else []
    return ", ".join([speed, *share, f"waits for data {report['data_wait']:.0%}"])
