"""SIGTERM and Ctrl-C as a request to save and stop."""

import os
import signal
import types
from typing import Any

import jax
from jax.experimental import multihost_utils


class Interruption:
    """In its context a first SIGTERM or Ctrl-C is remembered instead of killing the process; a second Ctrl-C does kill.

    With several processes the one that is told tells the others, and all stop at the same step.
    """

    def __init__(self) -> None:
        self._asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        # With several processes jax's preemption service listens to SIGTERM and agrees with the others on a step.
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

    def reached(self, step: int) -> bool:
        """Whether to save and stop now. Every process calls it at every step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked
