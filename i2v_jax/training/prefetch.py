"""Batches that are on the devices before their steps."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from i2v_jax.input.pipeline import BatchIterator


class DevicePrefetch(Iterator[Any]):
    """Reads batches and places them on the devices ahead of their steps, in a thread.

    Its state is that of the batch that was taken last, whatever was read ahead.
    """

    def __init__(self, batches: BatchIterator, place: Callable[[dict[str, Any]], Any], ahead: int) -> None:
        """Takes over `batches`.

        Args:
          batches: the batches of this host.
          place: starts copying a batch to the devices.
          ahead: the number of placed batches that wait, besides the one that is being placed; 0: a batch is read and
            placed when it is asked for.
        """
        self._batches, self._place, self._ahead = batches, place, ahead
        self._state = batches.get_state()
        self._ready: queue.Queue[Any] = queue.Queue(ahead)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def __next__(self) -> Any:
        if not self._ahead:
            placed, self._state = self._take()
            return placed
        if self._thread is None:
            self._thread = threading.Thread(target=self._fill, daemon=True)
            self._thread.start()
        result = self._ready.get()
        if isinstance(result, Exception):
            self._thread = None
            raise result
        placed, self._state = result
        return placed

    def get_state(self) -> dict[str, int]:
        """Returns the position after the batch that was taken last; see `BatchIterator`."""
        return self._state

    def set_state(self, state: dict[str, int]) -> None:
        """Continues at a saved position."""
        self.close()
        self._batches.set_state(state)
        self._state = state

    def close(self) -> None:
        """Stops the thread and all that reads; the next batch starts them again."""
        self._closing.set()
        while self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._ready.get(timeout=0.05)  # it may wait for room
        self._thread, self._ready = None, queue.Queue(self._ahead)
        self._closing.clear()
        self._batches.close()

    def _take(self) -> tuple[Any, dict[str, int]]:
        placed = self._place(next(self._batches))
        return placed, self._batches.get_state()

    def _fill(self) -> None:
        while not self._closing.is_set():
            try:
                self._ready.put(self._take())
            except Exception as error:  # raised where the batch is taken
                self._ready.put(error)
                return
