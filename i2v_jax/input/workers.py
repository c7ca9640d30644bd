"""Reading processes that ignore signals to the process group, and end when their parent ends.

Terminals and schedulers send Ctrl-C and SIGTERM to all processes of a job, but the parent needs batches until it has
saved.
"""

import contextlib
import ctypes
import functools
import mmap
import multiprocessing
import os
import pathlib
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker

import cv2

from i2v_jax.errors import UserError

_SLOT = 1024  # bytes of each worker on the board
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt, without M_
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


class Board:
    """A file in which each worker writes what it reads, so that its parent can say it if the worker dies."""

    def __init__(self, workers: int) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="i2v_jax_workers_") if workers else None  # noqa: SIM115
        if self._file:
            self._file.truncate(workers * _SLOT)

    @property
    def set_up(self) -> Callable[[int, int], None]:
        """The function that sets up a worker; Grain calls it with the index of the worker and their number."""
        return functools.partial(_set_up, self._file.name if self._file else "")

    def last_read(self) -> str:
        """Returns what a worker that is not alive read last; empty if that is not known."""
        alive = {process.pid for process in multiprocessing.active_children()}
        content = pathlib.Path(self._file.name).read_bytes() if self._file else b""
        for first in range(0, len(content), _SLOT):
            pid, text = content[first : first + _SLOT].rstrip(b"\0").partition(b" ")[::2]
            if pid and int(pid) not in alive:
                return text.decode(errors="ignore")
        return ""


_slot: list[mmap.mmap | int] = []  # of this process, if it is a worker: the file, and where it writes


def note(text: str) -> None:
    """Notes what this process reads, if it is a worker."""
    if _slot:
        file, first = _slot
        assert isinstance(file, mmap.mmap) and isinstance(first, int)
        line = f"{os.getpid()} {text}".encode(errors="replace")[:_SLOT]
        file[first : first + _SLOT] = line.ljust(_SLOT, b"\0")


@contextlib.contextmanager
def named_if_killed(board: Board) -> Iterator[None]:
    """Turns Grain's error about a process that died while reading into a UserError of one line."""
    try:
        yield
    except RuntimeError as error:
        if not (died := re.search(r"Worker process was terminated unexpectedly with exit code (-?\d+)", str(error))):
            raise
        reading = board.last_read()
        raise UserError(
            f"a process that reads data died (exit code {died[1]}{', the last that it read is ' if reading else ''}"
            f"{reading}): if memory ran out, lower data.workers or data.prefetch",
            "data.workers",
            reading,
        ) from error


def _set_up(board: str, worker_index: int, worker_count: int) -> None:
    """Sets up a worker process."""
    del worker_count
    with open(board, "r+b") as file:
        _slot[:] = [mmap.mmap(file.fileno(), 0), worker_index * _SLOT]
    note("")
    cv2.setNumThreads(0)  # the workers share the cores already
    _keep_freed_memory()
    for number in _NOT_FOR_WORKERS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def _keep_freed_memory() -> None:
    """Lets glibc keep up to 256 MiB that are free: every clip needs as much again, and the kernel clears what it gives.

    Otherwise that takes a tenth of the time to read a clip of 256x256 pixels, and more on a busy machine.
    """
    with contextlib.suppress(AttributeError, OSError):  # other C libraries have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, 2**28)
        mallopt(_MMAP_THRESHOLD, 2**25)  # the largest that it takes


def end_with_parent() -> None:
    """Waits for the parent process to end, then ends this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
