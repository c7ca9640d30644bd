"""One thread that runs the model and answers requests in order.

Requests wait in a bounded queue; those of equal kind that follow one another there are computed together. What fails,
fails for the one request that caused it.
"""

import asyncio
import collections
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.sampling.arrays import Array
from i2v_jax.serving.metrics import Metrics

_LOG = logging.getLogger(__name__)


class Request(Protocol):
    """What one answer needs, checked."""

    @property
    def kind(self) -> Hashable:
        """Requests of equal kind can be computed together."""


class Model(Protocol):
    """What the engine needs of a model."""

    @property
    def max_batch(self) -> int:
        """How many requests can be computed together."""

    def warm_up(self) -> None:
        """Compiles everything that `run` will use."""

    def run(self, requests: Sequence[Any]) -> Iterator[Sequence[Array]]:
        """The answers to requests of equal kind, part by part: [S, t, H, W, 3] for each request."""


class BusyError(Exception):
    """The queue is full: ask again later."""


class NotReadyError(Exception):
    """The model is not compiled, or the server is stopping."""


class AnswerError(Exception):
    """Computing this answer failed, by no fault that is known of the request."""


class Job:
    """One request on its way. Made by `Engine.submit`; `parts` is for the event loop that submitted it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.cancelled = False
        self.submitted = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[Array | Exception | None] = asyncio.Queue()
        self._computed = self._delivered = 0  # frames; computed begins anew when a batch is taken apart

    def cancel(self) -> None:
        """Nobody waits for the rest any more."""
        self.cancelled = True

    async def parts(self) -> AsyncIterator[Array]:
        """[S, t, H, W, 3] each, in order. Raises AnswerError or NotReadyError. Who leaves early has to `cancel`."""
        while (part := await self._outbox.get()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part

    async def whole(self) -> Array:
        """[S, T, H, W, 3]. Raises as `parts`."""
        return np.concatenate([part async for part in self.parts()], axis=1)

    def restart(self) -> None:
        """For the engine: the same frames are going to be computed again."""
        self._computed = 0

    def deliver(self, part: Array) -> bool:
        """For the engine: the next frames. Returns whether they are the first ones."""
        first = self._delivered == 0
        self._computed += part.shape[1]
        new = self._computed - self._delivered
        if new > 0:
            self._delivered = self._computed
            self._put(part[:, -new:])
        return first

    def finish(self, error: Exception | None = None) -> None:
        """For the engine: this was all, or it failed."""
        self._put(error)

    def _put(self, item: Array | Exception | None) -> None:
        if not self.cancelled and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._outbox.put_nowait, item)


class Engine:
    """The thread, its queue, and whether it is ready."""

    def __init__(self, model: Model, metrics: Metrics, capacity: int = 16) -> None:
        """`capacity`: requests that may wait, beside those in work."""
        self._model, self._metrics, self._capacity = model, metrics, capacity
        self._waiting: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        self._ready = self._stopping = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self.failure: Exception | None = None  # of compiling
        self.on_compiled: Callable[[], None] = lambda: (
            None
        )  # called when that ended, well or not, in the engine's thread
        metrics.watch(waiting=lambda: len(self._waiting), ready=lambda: self._ready)

    @property
    def ready(self) -> bool:
        """Whether everything is compiled and requests are taken."""
        return self._ready and not self._stopping

    def start(self) -> None:
        """Begins to compile; `ready` tells when that is done."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Answers what waits with NotReadyError and ends the thread, after the part it is computing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def submit(self, requests: Sequence[Request]) -> list[Job]:
        """Queues all of them or none.

        Raises:
            UserError: so many never fit into the queue.
            BusyError: too many wait already.
            NotReadyError: the model is not compiled, or the server is stopping.
        """
        if len(requests) > self._capacity:
            raise UserError(f"{len(requests)} answers at once are too many for this server, {self._capacity} at most")
        if self.failure:
            raise NotReadyError("the model cannot be compiled, see the log of the server")
        if not self.ready:
            raise NotReadyError("the model is still being compiled" if not self._stopping else "the server is stopping")
        with self._changed:
            self._forget_cancelled()
            if len(self._waiting) + len(requests) > self._capacity:
                raise BusyError(f"{len(self._waiting)} requests are waiting already: try again in a moment")
            jobs = [Job(request) for request in requests]
            self._waiting.extend(jobs)
            self._changed.notify_all()
        return jobs

    def _work(self) -> None:
        try:
            self._model.warm_up()
        except Exception as error:  # the thread would vanish silently: whoever asks for health is told
            _LOG.exception("compiling failed")
            self.failure = error
        else:
            self._ready = True
        self.on_compiled()
        if self.failure:
            return
        while batch := self._take():
            self._answer(batch)

    def _take(self) -> list[Job]:
        """The next requests of equal kind, in order; waits for them. Empty when the engine stops."""
        with self._changed:
            while True:
                self._forget_cancelled()
                if self._stopping:
                    for job in self._waiting:
                        job.finish(NotReadyError("the server is stopping"))
                    self._waiting.clear()
                    return []
                if self._waiting:
                    break
                self._changed.wait()
            kind = self._waiting[0].request.kind
            batch: list[Job] = []
            while (
                self._waiting and self._waiting[0].request.kind == kind and len(batch) < max(1, self._model.max_batch)
            ):
                batch.append(self._waiting.popleft())
            return batch

    def _forget_cancelled(self) -> None:
        """Those who left make room for others. Call with the lock held."""
        self._waiting = collections.deque(job for job in self._waiting if not job.cancelled)

    def _answer(self, batch: list[Job]) -> None:
        try:
            for parts in self._model.run([job.request for job in batch]):
                for job, part in zip(batch, parts, strict=True):
                    if job.deliver(part):
                        self._metrics.first_frame.observe(time.monotonic() - job.submitted)
                    self._metrics.frames.inc(part.shape[0] * part.shape[1])
                if self._stopping:
                    raise NotReadyError("the server is stopping")
                if all(job.cancelled for job in batch):
                    return
        except NotReadyError as error:
            for job in batch:
                job.finish(error)
        except Exception as error:  # whatever it is, the next requests have nothing to do with it
            self._mend(batch, error)
        else:
            self._metrics.batch.observe(len(batch))
            for job in batch:
                job.finish()
                self._metrics.answer.observe(time.monotonic() - job.submitted)

    def _mend(self, batch: list[Job], error: Exception) -> None:
        """Those who were computed together are computed alone, so that only the one who is to blame fails."""
        if len(batch) == 1:
            _LOG.error("a request failed", exc_info=error)
            batch[0].finish(AnswerError(f"the server failed to compute this ({type(error).__name__}), see its log"))
            return
        for job in batch:
            job.restart()
            self._answer([job])
