"""A program of several processes that do what `--case` says, run by `test_processes.py`."""

import time
from collections.abc import Sequence

from absl import flags

from i2v_jax.errors import UserError
from i2v_jax.launch import _app, _processes
from i2v_jax.training import interrupt
from i2v_jax.training.interrupt import Interruption
from tests.compiling import HANG

interrupt._JOINING_SECONDS = HANG  # others may start late on a busy machine
CASE = flags.DEFINE_string("case", "", "What happens.")


def main(argv: Sequence[str], interruption: Interruption) -> None:
    from i2v_jax.distributed import processes

    processes.HEARTBEAT, processes._GRACE = 6, 1  # seconds
    with _processes.joined(interruption) as first:
        told = processes.agree(lambda: ["by process 0", 1])
        assert told == ["by process 0", 1]
        if CASE.value == "all fail":
            processes.agree(_fail)
        if CASE.value == f"process {int(not first)} fails":
            _fail()
        if CASE.value == "wait":
            time.sleep(3 * first)
            print("done", flush=True)
        if CASE.value == "hang":
            print("ready", flush=True)
            time.sleep(1000)
        if CASE.value == "compute":
            import jax
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("connected")
            print("ready", flush=True)
            while True:
                multihost_utils.process_allgather(jax.numpy.ones(3))


def _fail() -> None:
    raise UserError("invalid value for thing: 3", "thing", 3)


if __name__ == "__main__":
    _app.run(main, resumes=True)
