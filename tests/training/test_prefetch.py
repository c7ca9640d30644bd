"""Batches are read ahead in order, and the position is that of the batch that was taken."""

import threading
import time

import pytest

from i2v_jax.training.prefetch import DevicePrefetch
from tests.compiling import HANG


class Numbers:
    """The batches 0, 1, ... up to a last one, and what was done with them."""

    def __init__(self, last=100):
        self.step, self.last, self.closed = 0, last, 0

    def __next__(self):
        if self.step > self.last:
            raise StopIteration
        self.step += 1
        return {"number": self.step - 1}

    def get_state(self):
        return {"step": self.step}

    def set_state(self, state):
        self.step = state["step"]

    def close(self):
        self.closed += 1


def place(batch):
    return batch["number"]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_the_position_is_that_of_the_batch_that_was_taken(ahead):
    batches = Numbers()
    iterator = DevicePrefetch(batches, place, ahead)
    assert iterator.get_state() == {"step": 0}
    for step in range(5):
        assert next(iterator) == step
        assert iterator.get_state() == {"step": step + 1}
    deadline = time.monotonic() + HANG
    read = 5 + ahead + (1 if ahead else 0)  # taken, waiting, in the thread's hand
    while batches.step < read:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    iterator.set_state({"step": 2})
    assert [next(iterator) for _ in range(3)] == [2, 3, 4]
    assert iterator.get_state() == {"step": 5}
    before = threading.active_count()
    iterator.close()
    assert threading.active_count() == before - (1 if ahead else 0)
    assert batches.closed == 2


@pytest.mark.parametrize("ahead", [0, 1])
def test_the_end_and_failures_are_those_of_the_batches(ahead):
    def fail(batch):
        if batch["number"] == 1:
            raise MemoryError
        return batch["number"]

    assert list(DevicePrefetch(Numbers(last=3), place, ahead)) == [0, 1, 2, 3]
    iterator = DevicePrefetch(Numbers(), fail, ahead)
    assert next(iterator) == 0
    with pytest.raises(MemoryError):
        next(iterator)
    assert iterator.get_state() == {"step": 1}
    iterator.close()
