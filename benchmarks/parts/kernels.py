"""The most expensive kernels of a program, from a trace of jax's profiler."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.profiler import ProfileData


@dataclasses.dataclass
class Kernel:
    """All calls of a kernel; on a CPU, of an operation of the compiled program."""

    name: str
    operation: str  # of the compiled program: one that runs it; "" if the trace does not say
    calls: int = 0
    seconds: float = 0.0


def most_expensive(run: Callable[[], object], steps: int, count: int = 10, folder: str = "") -> dict[str, Any]:
    """Traces some calls of `run`, which returns when it is done. The trace stays in `folder`, unless that is empty.

    Returns:
      "kernels": the `count` kernels with the longest time in total, with their share of the time of all of them and
      what one step takes; "busy_s": of all kernels, per step; "kernels_per_step": how many are started.
    """
    run()
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as traces:
        with jax.profiler.trace(traces):
            for _ in range(steps):
                run()
        kernels = read(pathlib.Path(traces))
    total = sum(kernel.seconds for kernel in kernels)
    rows = [
        {
            "name": kernel.name,
            "operation": kernel.operation,
            "calls": kernel.calls / steps,
            "seconds": kernel.seconds / steps,
            "share": kernel.seconds / total,
        }
        for kernel in sorted(kernels, key=lambda kernel: -kernel.seconds)[:count]
    ]
    started = sum(kernel.calls for kernel in kernels) / steps
    return {"kernels": rows, "busy_s": total / steps, "kernels_per_step": started}


def read(folder: pathlib.Path) -> list[Kernel]:
    """Returns the kernels of a trace.

    Raises:
      ValueError: the trace has none.
    """
    found: dict[str, Kernel] = {}
    for path in folder.glob("**/*.xplane.pb"):
        for name, operation, seconds in _events(ProfileData.from_file(str(path))):
            kernel = found.setdefault(name, Kernel(name, operation))
            kernel.calls += 1
            kernel.seconds += seconds
    if not found:
        raise ValueError(f"the trace in {folder} has no event of a compiled program")
    return list(found.values())


def _events(trace: ProfileData) -> Iterator[tuple[str, str, float]]:
    """Yields (name, operation, seconds) of what devices did; of what the CPU did if there is no other device.

    A GPU's kernels are events of its streams. Those of a CUDA graph do not say which operation they belong to.
    """
    devices = [plane for plane in trace.planes if plane.name.startswith(("/device:GPU", "/device:TPU"))]
    for plane in devices or trace.planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                if "hlo_op" in stats or line.name.startswith(("Stream", "XLA Ops")):
                    yield event.name, str(stats.get("hlo_op", "")), event.duration_ns / 1e9
