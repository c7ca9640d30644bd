"""Ends a process that hangs, and names what it was doing."""

import os
import threading
import time
from typing import Self

from i2v_jax.distributed import processes
from i2v_jax.logs import logger

_CRASHED = 1  # the exit status
_POLL_SECONDS = 1.0


class Watchdog:
    """A context in which a thread ends the process if one activity takes too long.

    A process hangs in a read from a file system that does not answer, or in a collective operation that waits for
    another process; nothing raises then. In a job of several processes, their activities tell which one hangs: that one
    reads or writes, the others wait for a step.
    """

    def __init__(self, stage: str, seconds: float) -> None:
        """Watches over a stage.

        Args:
          stage: its name, for the message.
          seconds: that one activity may take; 0: any time.
        """
        self._stage, self._seconds = stage, seconds
        self._activity, self._since = "", time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._thread.join()

    def doing(self, activity: str) -> None:
        """Begins an activity, as in "while ACTIVITY". An empty one may take any time."""
        self._since, self._activity = time.monotonic(), activity

    def _watch(self) -> None:
        while not self._closed.wait(_POLL_SECONDS):
            activity, since = self._activity, self._since
            if activity and self._seconds and time.monotonic() - since > self._seconds:
                logger.error(
                    f"error: {self._stage} hangs: no progress for {self._seconds:g} s while {activity}; earlier "
                    "checkpoints are intact, and the same command continues (the limit is train.hang_seconds)"
                )
                processes.kill_readers()
                os._exit(_CRASHED)
