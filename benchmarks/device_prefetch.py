"""How long the devices wait for the host between two training steps, with and without batches copied ahead.

    python -m benchmarks.device_prefetch [--step_ms=2,5,10,20,50] [--steps=100] [--repeats=5] [--out=FILE.json]

The batches are those of `input/pipeline.py` (ten clips of noise, 17 frames of 64x64), and the loop does what that of
training does: it takes a batch, dispatches a step, and fetches the metrics of the step before. The step stands in for
that of an accelerator: on a CPU it takes `--step_ms` without using a core, elsewhere it is a series of products.
Measured in turns, per step: `fed` with one batch that is on the device already, `host` with batches that are copied
when they are needed (`train.device_prefetch=0`), `ahead` with batches that a thread copies ahead (1, the default); of
each, the least of the repeats. The gap is the time beyond `fed`. `--quick` only checks that the benchmark runs.
"""

import argparse
import functools
import itertools
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.configs import common
from i2v_jax.distributed import mesh as meshes
from i2v_jax.distributed.runtime import configure_platform
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.input.rows import rows_pipeline
from i2v_jax.training.prefetch import DevicePrefetch

_PRODUCT = 2048  # side of the matrices
Step = Callable[[Any], jax.Array]


def make_clips() -> Pipeline:
    """Returns batches of clips in memory."""
    noise = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 17, 64, 64, 3)).astype(np.float32)
    return rows_pipeline({"video": noise}, batch_size=10, seed=0)


def make_step(seconds: float) -> Step:
    """Returns a step that keeps the device busy for that long and reads its batch."""
    if jax.default_backend() == "cpu":

        def wait(value: np.ndarray) -> np.ndarray:
            time.sleep(seconds)
            return value

        return jax.jit(lambda batch: jax.pure_callback(wait, jax.ShapeDtypeStruct((), "float32"), _glance(batch)))
    matrix = jnp.eye(_PRODUCT, dtype=jnp.bfloat16)

    def products(batch: Any, count: int) -> jax.Array:
        first = matrix + _glance(batch).astype(matrix.dtype)
        last = jax.lax.fori_loop(0, count, lambda _, value: value @ matrix, first)
        return last[0, 0].astype(jnp.float32)

    probe = jax.jit(functools.partial(products, count=1000))
    batch = {"video": jnp.zeros((1,))}
    jax.block_until_ready(probe(batch))
    began = time.perf_counter()
    jax.block_until_ready(probe(batch))
    count = max(1, round(1000 * seconds / (time.perf_counter() - began)))
    return jax.jit(functools.partial(products, count=count))


def _glance(batch: Any) -> jax.Array:
    return batch["video"].reshape(-1)[0]


def seconds_per_step(step: Step, batches: Iterator[Any], steps: int) -> float:
    """Returns the time of a step in a loop like that of training."""
    before = step(next(batches))
    began = time.perf_counter()
    for batch in itertools.islice(batches, steps):
        metrics = step(batch)
        jax.device_get(before)
        before = metrics
    seconds = (time.perf_counter() - began) / steps
    jax.device_get(before)
    return seconds


def measure(clips: Pipeline, step_ms: float, steps: int, repeats: int) -> dict[str, float]:
    """Returns the times of a step in ms, the least of `repeats`, by where its batch comes from."""
    mesh, step = meshes.make_mesh(common.base(64).mesh), make_step(step_ms / 1e3)
    place = functools.partial(meshes.global_batch, mesh=mesh)
    resident = place(next(clips.iterator()))
    times: dict[str, list[float]] = {"fed": [], "host": [], "ahead": []}
    for _ in range(repeats):
        times["fed"].append(seconds_per_step(step, itertools.repeat(resident), steps))
        for name, ahead in (("host", 0), ("ahead", 1)):
            iterator = DevicePrefetch(clips.iterator(), place, ahead)
            times[name].append(seconds_per_step(step, iterator, steps))
            iterator.close()
    return {name: 1e3 * min(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step_ms", default="2,5,10,20,50", help="durations of the step, in ms")
    parser.add_argument("--steps", type=int, default=100, help="steps of a measurement")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="", help="JSON file for the results")
    parser.add_argument("--quick", action="store_true", help="few steps, one repeat: a smoke test")
    arguments = parser.parse_args()
    steps, repeats = (3, 1) if arguments.quick else (arguments.steps, arguments.repeats)
    configure_platform()
    clips, rows = make_clips(), []
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}; times of a step in ms")
    print(f"{'step':>6} {'fed':>8} {'host':>8} {'ahead':>8} {'gap of host':>12} {'gap of ahead':>13}")
    for step_ms in map(float, arguments.step_ms.split(",")):
        times = measure(clips, step_ms, steps, repeats)
        gaps = {f"gap_{name}": times[name] - times["fed"] for name in ("host", "ahead")}
        rows.append({"step_ms": step_ms, **times, **gaps})
        print(f"{step_ms:6g} " + " ".join(f"{value:8.2f}" for value in times.values()), end="")
        print(f" {gaps['gap_host']:12.2f} {gaps['gap_ahead']:13.2f}", flush=True)
    if arguments.out:
        pathlib.Path(arguments.out).write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
