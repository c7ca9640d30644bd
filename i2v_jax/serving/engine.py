"""One thread that runs the model and answers requests in order, while another one optimizes it.

Requests wait in a bounded queue. Consecutive requests of equal kind are computed together. A failure affects only the
request that caused it.
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
    """The checked input of one answer."""

    @property
    def kind(self) -> Hashable:
        """Requests of equal kind can be computed together."""


class Model(Protocol):
    """What the engine requires of a model."""

    @property
    def max_batch(self) -> int:
        """How many requests can be computed together."""

    def warm_up(self) -> None:
        """Compiles what a usual request needs. After it, `run` may be called."""

    def optimize(self) -> Iterator[None]:
        """Compiles all that `run` will use, for speed, program by program; `run` may be called at the same time."""

    def run(self, requests: Sequence[Any]) -> Iterator[Sequence[Array]]:
        """Yields the answers to requests of equal kind part by part: [S, t, H, W, 3] for each request."""


class BusyError(Exception):
    """The queue is full: try again later."""


class NotReadyError(Exception):
    """The model is not compiled yet, or the server is stopping."""


class AnswerError(Exception):
    """Computing the answer to a valid request failed."""


class Job:
    """One request in the engine. `Engine.submit` creates it; the event loop that submitted it reads `parts`."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.cancelled = False
        self.submitted = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[Array | Exception | None] = asyncio.Queue()
        self._computed = self._delivered = 0  # frames; computed restarts when a batch is split

    def cancel(self) -> None:
        """Cancels the rest of the answer."""
        self.cancelled = True

    async def parts(self) -> AsyncIterator[Array]:
        """Yields [S, t, H, W, 3] in order. Raises AnswerError or NotReadyError. Call `cancel` to leave early."""
        while (part := await self._outbox.get()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part

    async def whole(self) -> Array:
        """Returns [S, T, H, W, 3]. Raises as `parts`."""
        return np.concatenate([part async for part in self.parts()], axis=1)

    def restart(self) -> None:
        """Prepares for computing the same frames again. Only the engine calls it."""
        self._computed = 0

    def deliver(self, part: Array) -> bool:
        """Delivers the next frames and returns whether they are the first ones. Only the engine calls it."""
        first = self._delivered == 0
        self._computed += part.shape[1]
        new = self._computed - self._delivered
        if new > 0:
            self._delivered = self._computed
            self._put(part[:, -new:])
        return first

    def finish(self, error: Exception | None = None) -> None:
        """Ends the answer, with an error if it failed. Only the engine calls it."""
        self._put(error)

    def _put(self, item: Array | Exception | None) -> None:
        if not self.cancelled and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._outbox.put_nowait, item)


class Engine:
    """The thread that runs the model, its queue, and whether it is ready."""

    def __init__(self, model: Model, metrics: Metrics, capacity: int = 16) -> None:
        """`capacity`: how many requests may wait, besides those being computed."""
        self._model, self._metrics, self._capacity = model, metrics, capacity
        self._waiting: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        self._ready = self._stopping = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        # Not a daemon: XLA aborts a process that ends while it compiles.
        self._optimizing = threading.Thread(target=self._optimize, name="optimizing")
        self.failure: Exception | None = None  # of compiling
        # Called with the seconds it took, in the engine's thread, when compiling ends, successfully or not.
        self.on_compiled: Callable[[float], None] = lambda seconds: None

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether the model is compiled and requests are accepted."""
        return self._ready and not self._stopping

    @property
    def problem(self) -> str:
        """Why the model cannot be used, for clients; empty if nothing failed."""
        if self.failure is None:
            return ""
        words = str(self.failure) if isinstance(self.failure, UserError) else "see the log of the server"
        return f"the model could not be compiled: {words}"

    def start(self) -> None:
        """Starts to compile, once; `ready` is true when that is done. Call from one thread."""
        if self._thread.ident is None and not self._stopping:
            self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Ends the thread after the part it is computing; waiting requests fail with NotReadyError."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def require(self) -> None:
        """Raises NotReadyError if requests are not accepted."""
        if self.failure:
            raise NotReadyError(self.problem)
        if not self.ready:
            raise NotReadyError("the model is still being compiled" if not self._stopping else "the server is stopping")

    def submit(self, requests: Sequence[Request]) -> list[Job]:
        """Queues all of the requests or none.

        Raises:
            UserError: there are more requests than the queue can hold.
            BusyError: too many requests are waiting.
            NotReadyError: the model is not compiled yet, or the server is stopping.
        """
        if len(requests) > self._capacity:
            raise UserError(
                f"{len(requests)} answers at once are too many for this server (must be at most {self._capacity})",
                "requests",
                len(requests),
            )
        self.require()
        with self._changed:
            self._forget_cancelled()
            if len(self._waiting) + len(requests) > self._capacity:
                raise BusyError(f"{len(self._waiting)} requests are waiting already: try again in a moment")
            jobs = [Job(request) for request in requests]
            self._waiting.extend(jobs)
            self._changed.notify_all()
        return jobs

    def _work(self) -> None:
        began = time.monotonic()
        try:
            self._model.warm_up()
        except Exception as error:  # otherwise the thread would end silently: `/healthz` reports it
            _LOG.error("compiling failed: %s", error, exc_info=None if isinstance(error, UserError) else error)
            self.failure = error
        else:
            self._ready = True
        self.on_compiled(time.monotonic() - began)
        if self.failure:
            return
        self._optimizing.start()
        while batch := self._take():
            self._answer(batch)

    def _optimize(self) -> None:
        try:
            for _ in self._model.optimize():
                if self._stopping:
                    return
        except Exception:  # the model answers without it
            _LOG.exception("optimizing failed: the answers stay as fast as they are")

    def _take(self) -> list[Job]:
        """Waits for requests and returns the next ones of equal kind, in order; none if the engine stops."""
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
        """Removes cancelled requests from the queue. Call with the lock held."""
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
        except Exception as error:  # it must not affect the next requests
            self._retry_one_by_one(batch, error)
        else:
            self._metrics.batch.observe(len(batch))
            for job in batch:
                job.finish()
                self._metrics.answer.observe(time.monotonic() - job.submitted)

    def _retry_one_by_one(self, batch: list[Job], error: Exception) -> None:
        """Computes requests that failed together one by one, so that only the one at fault fails."""
        if len(batch) == 1:
            _LOG.error("a request failed", exc_info=error)
            batch[0].finish(AnswerError(f"the server failed to compute this ({type(error).__name__}): see its log"))
            return
        for job in batch:
            job.restart()
            self._answer([job])
