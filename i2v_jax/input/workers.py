"""Reading processes that ignore signals to the process group, and end when their parent ends.

Terminals and schedulers send Ctrl-C and SIGTERM to all processes of a job, but the parent needs batches until it has
saved.
"""

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

import cv2

from i2v_jax.errors import UserError

_NOT_FOR_WORKERS = (signal.SIGINT, signal.SIGTERM)
# The tracker removes what a process that was stopped leaves in shared memory, and need not warn of it.
_QUIET = "ignore:resource_tracker:UserWarning"


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Blocks signals while workers start: they inherit blocked signals, and ignore them before any arrives."""
    if _QUIET not in sys.warnoptions:
        sys.warnoptions.append(_QUIET)
    resource_tracker.ensure_running()  # otherwise the first worker starts it, which unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_WORKERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def named_if_killed() -> Iterator[None]:
    """Turns Grain's error about a process that died while reading into a UserError of one line."""
    try:
        yield
    except RuntimeError as error:
        if not (died := re.search(r"Worker process was terminated unexpectedly with exit code (-?\d+)", str(error))):
            raise
        raise UserError(
            f"a process that reads data died (exit code {died[1]}): if memory ran out, lower data.workers or "
            "data.prefetch",
            "data.workers",
        ) from error


def set_up(worker_index: int, worker_count: int) -> None:
    """Sets up a worker process; Grain calls it with the index of the worker."""
    del worker_index, worker_count
    cv2.setNumThreads(0)  # the workers share the cores already
    for number in _NOT_FOR_WORKERS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Waits for the parent process to end, then ends this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
