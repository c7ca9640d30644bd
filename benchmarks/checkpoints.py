"""What a checkpoint costs: how long training waits for it, and what its checksums add.

    python -m benchmarks.checkpoints [--megabytes=1024] [--repeats=5] [--folder=FOLDER] [--out=FILE.json] [--quick]

The state is random numbers: parameters, two moments and averages, a quarter each. "training waits" is how long the call
that saves takes; the rest is written in the background, while the steps of a training that is busy with matrix products
take longer by "a step meanwhile".
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from i2v_jax.training.checkpoint import Checkpointer
from i2v_jax.training.integrity import damage, write_checksums
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.state import TrainState

_ARRAYS = 64  # of each part of the state


def random_state(megabytes: int, step: int) -> TrainState:
    """Returns a state of that size."""
    rng = np.random.default_rng(step)
    size = megabytes * 2**20 // 4 // 4 // _ARRAYS

    def part() -> dict[str, Any]:
        return {"network": {f"layer_{i}": jnp.asarray(rng.standard_normal(size, np.float32)) for i in range(_ARRAYS)}}

    return TrainState(jnp.int32(step), part(), {}, {"network": [part(), part()]}, part())


def seconds(call: Callable[[], Any]) -> float:
    """Returns how long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(folder: pathlib.Path, megabytes: int, repeats: int) -> dict[str, float]:
    """Returns the median of each measurement, in seconds."""
    checkpointer = Checkpointer(folder, keep=1, best="loss")
    product = jax.jit(lambda x: x @ x / 1000)
    x = product(jnp.ones((1000, 1000)))
    alone = statistics.median(seconds(lambda: product(x).block_until_ready()) for _ in range(50))
    taken: dict[str, list[float]] = {}
    for step in range(1, repeats + 1):
        state = random_state(megabytes, step)
        jax.block_until_ready(state)
        began, steps = time.perf_counter(), []
        row = {"training waits": seconds(lambda: checkpointer.save(state, {"step": step}, ConfigDict(), {}))}  # noqa: B023
        while checkpointer.is_saving():
            steps.append(seconds(lambda: product(x).block_until_ready()))
        checkpointer.wait()
        row["on disk after"] = time.perf_counter() - began
        row["a step alone"] = alone
        row["a step meanwhile"] = statistics.median(steps) if steps else alone
        checkpoint = folder / "checkpoints" / str(step)
        row["of which checksums"] = seconds(lambda: write_checksums(checkpoint))  # noqa: B023
        row["comparing checksums"] = seconds(lambda: damage(checkpoint))  # noqa: B023
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=SingleDeviceSharding(jax.local_devices()[0])
            ),
            state,
        )
        row["restoring"] = seconds(lambda: jax.block_until_ready(checkpointer.restore(abstract, step)[0]))  # noqa: B023
        row["reading networks to sample"] = seconds(lambda: load_networks(folder))
        for name, value in row.items():
            taken.setdefault(name, []).append(value)
    checkpointer.close()
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the state")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", default=None, help="where to write; by default the folder for temporary files")
    parser.add_argument("--out", default="", help="JSON file for the results")
    parser.add_argument("--quick", action="store_true", help="one small checkpoint: a smoke test")
    arguments = parser.parse_args()
    megabytes, repeats = (4, 1) if arguments.quick else (arguments.megabytes, arguments.repeats)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        results = measure(pathlib.Path(folder), megabytes, repeats)
    print(f"a checkpoint of {megabytes} MiB, median of {repeats}")
    for name, value in results.items():
        print(f"  {name:28s} {value:8.3f} s")
    if arguments.out:
        pathlib.Path(arguments.out).write_text(
            json.dumps({"megabytes": megabytes, "seconds": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
