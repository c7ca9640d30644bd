"""The queue and the thread: order, batches, limits, and failures that affect only their request."""

import asyncio
import dataclasses
import threading

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.serving.engine import AnswerError, BusyError, Engine, NotReadyError
from i2v_jax.serving.metrics import Metrics
from tests.compiling import HANG
from tests.serving.stand_ins import wait_until


@dataclasses.dataclass(frozen=True)
class Question:
    value: float
    kind: str = "plain"
    frames: int = 3


class Counting:
    """Frame t of an answer is value + t; the value -1 fails in its second part."""

    max_batch = 4

    def __init__(self):
        self.batches = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.computed = 0

    def warm_up(self):
        pass

    def optimize(self):
        yield from ()

    def run(self, requests):
        self.may_run.wait(HANG)
        self.batches.append([request.value for request in requests])
        for frame in range(requests[0].frames):
            if frame == 1 and any(request.value == -1 for request in requests):
                raise ZeroDivisionError
            self.computed += 1
            yield [np.full((1, 1, 1, 1, 1), request.value + frame) for request in requests]


def with_engine(model, use, **settings):
    """Runs `await use(engine)` on a ready engine."""
    engine = Engine(model, Metrics(), **settings)
    engine.start()
    try:
        wait_until(lambda: engine.ready)
        return asyncio.run(use(engine))
    finally:
        model.may_run.set()
        engine.stop()


def test_those_of_equal_kind_are_computed_together():
    model = Counting()

    async def use(engine):
        model.may_run.clear()
        first = engine.submit([Question(0)])  # taken alone, and held, while the others gather
        await asyncio.to_thread(wait_until, lambda: not engine._waiting)
        jobs = first + engine.submit([Question(10), Question(20), Question(30, "other"), Question(40)])
        model.may_run.set()
        return await asyncio.gather(*(job.whole() for job in jobs))

    answers = with_engine(model, use)
    assert [answer.ravel().tolist() for answer in answers] == [[n, n + 1, n + 2] for n in (0, 10, 20, 30, 40)]
    assert model.batches == [[0], [10, 20], [30], [40]]


def test_a_failure_is_of_the_one_who_caused_it():
    model = Counting()

    async def use(engine):
        model.may_run.clear()
        engine.submit([Question(0)])
        await asyncio.to_thread(wait_until, lambda: not engine._waiting)
        jobs = engine.submit([Question(10), Question(-1), Question(20)])
        model.may_run.set()
        return await asyncio.gather(*(job.whole() for job in jobs), return_exceptions=True)

    good, bad, also_good = with_engine(model, use)
    assert isinstance(bad, AnswerError)
    assert "ZeroDivisionError" in str(bad)
    assert good.ravel().tolist() == [10, 11, 12]  # the frame that was delivered before the failure comes once
    assert also_good.ravel().tolist() == [20, 21, 22]


def test_a_full_queue_refuses_all_or_none():
    model = Counting()

    async def use(engine):
        model.may_run.clear()
        engine.submit([Question(0)])
        await asyncio.to_thread(wait_until, lambda: not engine._waiting)
        engine.submit([Question(1)])
        with pytest.raises(BusyError):
            engine.submit([Question(2), Question(3)])
        (job,) = engine.submit([Question(4)])
        model.may_run.set()
        return await job.whole()

    assert with_engine(model, use, capacity=2).ravel().tolist() == [4, 5, 6]
    assert [2, 3] not in model.batches


def test_more_requests_than_the_queue_holds_are_refused_for_good():
    async def use(engine):
        with pytest.raises(UserError) as raised:
            engine.submit([Question(value) for value in range(3)])
        assert (raised.value.field, raised.value.value) == ("requests", 3)

    with_engine(Counting(), use, capacity=2)


def test_nobody_computes_what_nobody_waits_for():
    model = Counting()

    async def use(engine):
        (job,) = engine.submit([Question(0, frames=100_000)])
        async for _ in job.parts():
            break
        job.cancel()
        (following,) = engine.submit([Question(5)])
        return await following.whole()

    assert with_engine(model, use).ravel().tolist() == [5, 6, 7]
    assert model.computed < 100_000


def test_a_stopping_engine_tells_those_who_wait():
    model = Counting()

    async def use(engine):
        model.may_run.clear()
        jobs = engine.submit([Question(0), Question(1, "other")])
        stopping = asyncio.create_task(asyncio.to_thread(engine.stop))
        await asyncio.to_thread(wait_until, lambda: not engine.ready)
        with pytest.raises(NotReadyError):
            engine.submit([Question(2)])
        model.may_run.set()
        answers = await asyncio.gather(*(job.whole() for job in jobs), return_exceptions=True)
        await stopping
        return answers

    assert all(isinstance(answer, NotReadyError) for answer in with_engine(model, use))


def test_a_model_that_cannot_be_compiled_is_reported():
    class Broken(Counting):
        def warm_up(self):
            raise MemoryError("no room")

    engine = Engine(Broken(), Metrics())
    compiled = threading.Event()
    engine.on_compiled = lambda seconds: compiled.set()
    engine.start()
    assert compiled.wait(HANG)
    assert isinstance(engine.failure, MemoryError)
    assert not engine.ready


def test_a_model_is_optimized_while_it_answers():
    class Optimized(Counting):
        optimized = 0

        def optimize(self):
            while True:
                self.optimized += 1
                yield

    model = Optimized()

    async def use(engine):
        await asyncio.to_thread(wait_until, lambda: model.optimized > 2)
        (job,) = engine.submit([Question(7)])
        return await job.whole()

    assert with_engine(model, use).ravel().tolist() == [7, 8, 9]
    for thread in threading.enumerate():  # it ends with the engine
        if thread.name == "optimizing":
            thread.join(HANG)


def test_a_model_that_cannot_be_optimized_answers(caplog):
    class Slow(Counting):
        def optimize(self):
            yield
            raise MemoryError("no room")

    async def use(engine):
        await asyncio.to_thread(wait_until, lambda: caplog.records)
        (job,) = engine.submit([Question(7)])
        return await job.whole()

    assert with_engine(Slow(), use).ravel().tolist() == [7, 8, 9]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_those_who_left_make_room():
    model = Counting()

    async def use(engine):
        model.may_run.clear()
        engine.submit([Question(0)])
        await asyncio.to_thread(wait_until, lambda: not engine._waiting)
        for value in range(10):
            (job,) = engine.submit([Question(value)])
            job.cancel()
        (last,) = engine.submit([Question(20)])
        model.may_run.set()
        return await last.whole()

    assert with_engine(model, use, capacity=1).ravel().tolist() == [20, 21, 22]
    assert model.batches == [[0], [20]]
