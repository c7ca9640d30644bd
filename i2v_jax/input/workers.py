"""Reading processes that end when their parent says so or is gone, and for no signal to the whole process group.

Terminals and schedulers send Ctrl-C and SIGTERM to all processes of a job, but the parent needs batches until it has
saved.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

import cv2

_NOT_FOR_WORKERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Around the start of workers: they inherit that signals wait, and ignore them before any arrives."""
    resource_tracker.ensure_running()  # its start, else part of the first worker's, would let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_WORKERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def set_up(worker_index: int, worker_count: int) -> None:
    """The first thing that a worker does; Grain hands it its number."""
    del worker_index, worker_count
    cv2.setNumThreads(0)  # the workers share the cores already
    for number in _NOT_FOR_WORKERS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
