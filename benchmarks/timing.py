"""What the benchmarks share: the settings of both libraries, timing in turns, and the table of a comparison."""

import dataclasses
import json
import math
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from i2v_jax.distributed.runtime import configure_platform

Run = Callable[[], Any]


def configure_libraries() -> None:
    """Configures both libraries for speed. Call it before importing torch and before making any jax array."""
    # Otherwise PyTorch's waiting threads spin, and it looks slow whenever anything else runs.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    # On a GPU, both libraries share the memory of one card.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    configure_platform()
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    # Eager float32 at its fastest: TensorFloat-32 in products and convolutions, the fastest algorithm for each shape.
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def torch_device() -> Any:
    """Returns the PyTorch device that matches jax's: the GPU if jax has one.

    Raises:
      SystemExit: jax computes on a GPU but PyTorch has none, so a comparison would be meaningless.
    """
    import jax
    import torch

    if jax.default_backend() == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SystemExit(
            f"jax computes on {jax.devices()[0].device_kind} but this PyTorch has no GPU: install one built for CUDA, "
            "or set JAX_PLATFORMS=cpu"
        )
    return torch.device("cuda")


def waiting(run: Run) -> Run:
    """Returns `run` followed by a synchronization with the GPU, if there is one."""
    import torch

    if torch_device().type == "cpu":
        return run

    def run_and_wait() -> None:
        run()
        torch.cuda.synchronize()

    return run_and_wait


@dataclasses.dataclass(frozen=True)
class Seconds:
    """The times of the calls of one alternative."""

    wall: tuple[float, ...]
    processor: tuple[float, ...]  # of all threads; less sensitive to other processes

    @property
    def minimum(self) -> float:
        return min(self.wall)

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def median_processor(self) -> float:
        return statistics.median(self.processor)


def interleaved(runs: Mapping[str, Run], repeats: int, patience: float = math.inf) -> dict[str, Seconds]:
    """Times every run `repeats` times in turns; the first call of each does not count.

    Args:
      runs: by name; each returns when its result is ready.
      repeats: at least 1.
      patience: seconds; a run that has taken longer in total is not repeated.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            if sum(wall for wall, _ in times[name]) > patience:
                continue
            wall, processor = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: Seconds(*zip(*pairs, strict=True)) for name, pairs in times.items()}


def alone(run: Run, quick: bool) -> dict[str, float]:
    """Returns the `numbers` of up to 30 calls in up to 5 seconds; `quick`: of one call. One more comes before them."""
    return numbers(interleaved({"": run}, 1 if quick else 30, patience=5.0)[""])


class Table:
    """Prints comparisons of PyTorch and JAX as they come and finally writes them as JSON."""

    def __init__(self, title: str) -> None:
        self._rows: list[dict[str, Any]] = []
        self._about = {"title": title, **environment()}
        print(f"{title}\n{'; '.join(f'{key} {value}' for key, value in environment().items())}")
        print("Times are min / median in ms. Ratios are PyTorch / JAX: above 1 JAX is faster.\n")
        print(f"{'':46}{'PyTorch':>19}  {'JAX':>19}  {'ratio of wall':>13}  {'processor':>9}")

    def add(self, name: str, kind: str, pytorch: Seconds | None, jax: Seconds, **more: float) -> None:
        """Adds a row. `pytorch` is None if it has no such network; `more` holds further numbers by name."""
        row = {"name": name, "kind": kind, "jax": numbers(jax), **more}
        cells = [f"{'-':>19}", _milliseconds(jax), f"{'-':>13}", f"{'-':>9}"]
        if pytorch is not None:
            ratios = pytorch.minimum / jax.minimum, pytorch.median / jax.median
            processor = pytorch.median_processor / jax.median_processor
            row |= {"pytorch": numbers(pytorch), "ratio": ratios, "processor_ratio": processor}
            cells = [_milliseconds(pytorch), cells[1], f"{ratios[0]:5.2f} / {ratios[1]:5.2f}", f"{processor:9.2f}"]
        self._rows.append(row)
        rest = "".join(f"  {key.replace('_', ' ')} {value:.3g}" for key, value in more.items())
        print(f"{name:24}{kind:22}" + "  ".join(cells) + rest, flush=True)

    def note(self, name: str, **numbers: float) -> None:
        """Adds a row without a comparison."""
        self._rows.append({"name": name, **numbers})
        print(
            f"{name:46}" + "  ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in numbers.items()),
            flush=True,
        )

    def write(self, path: str) -> None:
        """Writes the rows as JSON; does nothing for an empty path."""
        if path:
            pathlib.Path(path).write_text(json.dumps({**self._about, "rows": self._rows}, indent=1))


def environment() -> dict[str, str]:
    """Returns what the numbers depend on: versions and device."""
    import jax
    import torch

    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0))
    return {
        "device": f"{device.device_kind} ({cores} cores)" if device.platform == "cpu" else device.device_kind,
        "jax": jax.__version__,
        "torch": torch.__version__,
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _milliseconds(seconds: Seconds) -> str:
    return f"{1e3 * seconds.minimum:8.1f} / {1e3 * seconds.median:8.1f}"


def numbers(seconds: Seconds) -> dict[str, float]:
    """Returns the numbers of a row of results."""
    return {
        "min_s": seconds.minimum,
        "median_s": seconds.median,
        "processor_median_s": seconds.median_processor,
        "repeats": len(seconds.wall),
    }
