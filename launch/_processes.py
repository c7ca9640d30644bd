"""The flags of commands that several processes run together."""

import contextlib
from collections.abc import Iterator
from typing import cast

from absl import flags

from i2v_jax.training.interrupt import Interruption

DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "off", "required"],
    "Processes that work together: auto joins those that SLURM, Open MPI, a Cloud TPU, Kubernetes or JAX_NUM_PROCESSES "
    "tells of, off works alone, and required refuses to be alone.",
)
TIMEOUT = flags.DEFINE_integer(
    "distributed_timeout", 300, "Seconds to wait for the other processes at the start.", lower_bound=1
)


@contextlib.contextmanager
def joined(interruption: Interruption) -> Iterator[bool]:
    """Joins the other processes as the flags say, and waits for them at the end, however long they take.

    Args:
      interruption: joins them, too, so that all stop where one is told to.
    Yields:
      whether this is the process that prints and writes results.
    """
    from i2v_jax.distributed import processes, runtime

    group = runtime.initialize_distributed(cast(runtime.Mode, DISTRIBUTED.value), TIMEOUT.value)
    interruption.connect()
    yield group.index == 0
    processes.wait_for_all()
