"""SIGTERM and Ctrl-C as a request to save and stop."""

import os
import signal
import types
from typing import Any

import jax
from jax.experimental import multihost_utils


class Interruption:
    """A context that remembers a first SIGTERM or Ctrl-C instead of ending the process; a second Ctrl-C ends it.

    With several processes, the one that gets the signal tells the others, and all see it at the same call of `reached`.
    """

    def __init__(self) -> None:
        self._asked = False
        self._reached = False
        self._calls = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        # With several processes, JAX's preemption service handles SIGTERM and agrees with the others on a call.
        signals = (signal.SIGINT,) if jax.process_count() > 1 else (signal.SIGINT, signal.SIGTERM)
        self._previous = {number: signal.signal(number, self._remember) for number in signals}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: types.FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def reached(self) -> bool:
        """Returns whether to save and stop now. Once true, it stays true. Every process calls it equally often."""
        if jax.process_count() == 1:
            return self._asked
        # All processes must pass the same, new number: it increases by one with each call.
        self._calls += 1
        self._reached = self._reached or multihost_utils.reached_preemption_sync_point(self._calls)
        return self._reached
