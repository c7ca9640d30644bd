"""SIGTERM and Ctrl-C as a request to save and stop, on which all processes of a job agree.

No other code asks whether a job is preempted: JAX's own preemption service, which Orbax would ask with numbers of its
own at every save, is off (`distributed/runtime.py`).
"""

import contextlib
import json
import math
import os
import select
import signal
import socket
import threading
import time
from typing import Any

from i2v_jax.distributed.channel import Channel, ChannelError
from i2v_jax.logs import logger

INTERRUPTED = os.EX_TEMPFAIL  # 75, the exit status: not finished, the same command continues
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 1.0
_JOINING_SECONDS = 60.0  # for which a process that is to stop waits for others that are still starting
_NOTICE = "notice"  # key of the signal that some process got

Position = tuple[int, int]  # (stage, step); step 0 lasts until the first step of a stage is done


class Interruption:
    """Hears a first SIGTERM or Ctrl-C, and says at which step to save and stop. A second Ctrl-C ends the process.

    A thread hears the signal at once, also while the main thread compiles. Before the first step of a stage there is
    nothing to save: the process ends there and then, with the status `INTERRUPTED`.

    With several processes, the one that gets the signal tells the others. Each then says which position it asked about
    last, and all stop at the first position after the latest of them, or end at once if no process has made a step.
    While they agree, `reached` waits. A process that gets the signal before all have met joins them first, so that
    they do not wait for it in vain.
    """

    def __init__(self, *, joins: bool = False) -> None:
        """`joins`: whether this process will call `connect`. Until then a signal has no effect, for up to a minute."""
        self._lock = threading.Lock()  # of the position and of the decision
        self._position: Position = (0, 0)
        self._stop_from: Position | None = None
        self._signal = ""
        self._joined = not joins
        self._told = False  # whether the signal has had an effect
        self._deadline = math.inf
        self._channel: Channel | None = None
        self._closed = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        signal.set_wakeup_fd(-1)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._written.close()
        self._thread.join()

    def listen(self) -> None:
        """Begins to hear signals. Call it in the main thread."""
        heard, self._written = socket.socketpair()
        self._written.setblocking(False)
        # Python calls its handlers in the main thread, when that returns from compiled code; it writes to this file
        # as soon as the signal comes.
        self._previous = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, args=(heard,), name="interruption", daemon=True)
        self._thread.start()

    def connect(self) -> None:
        """Joins the other processes, where there are any. Call it once after `initialize_distributed`."""
        channel = Channel("interruption")
        if channel.count > 1:
            self._channel = channel
        self._joined = True

    def begin(self) -> bool:
        """Begins a stage, or other work of which there is nothing to save yet. Returns whether to stop instead."""
        return self._is_reached((self._position[0] + 1, 0))

    def reached(self, step: int) -> bool:
        """Returns whether to save and stop after `step` of this stage; all processes see it at the same step."""
        return self._is_reached((self._position[0], step))

    def _is_reached(self, position: Position) -> bool:
        with self._lock:
            self._position = position
            self._leave_if_idle()
            return self._stop_from is not None and position >= self._stop_from

    def _listen(self, heard: socket.socket) -> None:
        with heard:
            while not self._closed:
                try:
                    if select.select([heard], [], [], _POLL_SECONDS)[0]:
                        for number in heard.recv(64):
                            self._hear(number)
                    self._tell()
                    if self._channel and self._stop_from is None and (notice := self._channel.read(_NOTICE)):
                        self._acknowledge(notice)
                        self._agree()
                except ChannelError:  # the job ends
                    self._channel = None

    def _hear(self, number: int) -> None:
        if number == signal.SIGINT and self._signal:
            os._exit(128 + signal.SIGINT)
        if number not in _SIGNALS or self._signal:
            return
        self._signal = signal.Signals(number).name
        if self._channel is None:
            self._acknowledge(self._signal)
        self._deadline = time.monotonic() + _JOINING_SECONDS
        self._tell()

    def _tell(self) -> None:
        """Stops the job because of the signal, as soon as this process has joined it."""
        if not self._signal or self._told:
            return
        if self._joined:
            self._told = True
            if self._channel is None:
                self._agree()
            elif self._stop_from is None:
                self._channel.post(_NOTICE, f"{self._signal} to process {self._channel.index}")
        elif time.monotonic() > self._deadline:
            logger.info("stopped before all processes had started; the same command continues")
            os._exit(INTERRUPTED)

    def _acknowledge(self, notice: str) -> None:
        if self._channel is None or self._channel.index == 0:
            then = "stopping after this step" if self._position[1] else "stopping"
            logger.info(f"{notice}: {then}; a second Ctrl-C ends the process without saving")

    def _agree(self) -> None:
        """Decides where to stop, in the same way on all processes, and ends the process if that is here."""
        with self._lock:
            positions = [self._position]
            if self._channel:
                try:
                    answers = self._channel.gather("position", json.dumps(self._position))
                except ChannelError:
                    logger.info("stopped without saving: a process does not answer; the same command continues")
                    os._exit(INTERRUPTED)
                positions = [tuple(json.loads(answer)) for answer in answers]
            stage, step = max(positions)
            self._stop_from = (stage, step + 1 if step else 0)
            self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        """Ends the process if it is to stop before the first step of a stage."""
        if self._stop_from is None or self._position < self._stop_from or self._position[1]:
            return
        if self._channel is None or self._channel.index == 0:
            logger.info("stopped; the same command continues")
        if self._channel:
            with contextlib.suppress(ChannelError):
                self._channel.gather("leave", "")  # others may still finish what came before
            if self._channel.index == 0:  # without which the others would miss it before they end
                time.sleep(_POLL_SECONDS)
        os._exit(INTERRUPTED)
