"""All processes stop at one position, wherever each of them is when one gets a signal."""

import collections
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from i2v_jax.training import interrupt
from i2v_jax.training.interrupt import INTERRUPTED, Interruption
from tests.compiling import HANG
from tests.launch.synthesis import ROOT

STAGES, STEPS = 2, 6


class Channel:
    """A channel between threads, which stand for the processes of a job."""

    def __init__(self, index, count, values, lists, changed):
        self.index, self.count = index, count
        self._values, self._lists, self._changed = values, lists, changed

    def post(self, key, value):
        self._values[key] = value

    def read(self, key):
        return self._values.get(key)

    def gather(self, key, value):
        with self._changed:
            answers = self._lists[key]
            answers[self.index] = value
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: len(answers) == self.count, HANG)
            return [answers[index] for index in range(self.count)]


class Process:
    """A process of a job: one thread that trains at a speed of its own, and one that listens."""

    def __init__(self, channel, seed):
        self.interruption = Interruption()
        self.interruption._channel = self._channel = channel
        self.end = None  # "left", or the position where it stopped
        self._draws = random.Random(seed)
        threads = [threading.Thread(target=target, daemon=True) for target in (self._train, self._listen)]
        for thread in threads:
            thread.process = self
            thread.start()
        self.training = threads[0]

    def _rest(self):
        time.sleep(self._draws.uniform(0, 0.002))

    def _train(self):
        for stage in range(STAGES):
            for step in range(STEPS + 1):
                stop = self.interruption.reached(step) if step else self.interruption.begin()
                if stop or self.end:
                    self.end = self.end or (stage, step)
                    return
                self._rest()

    def _listen(self):
        while not self._channel.read("notice"):
            self._rest()
        self.interruption._agree()


def leave(status):
    assert status == INTERRUPTED
    threading.current_thread().process.end = "left"


@pytest.mark.parametrize("count", [2, 5])
def test_all_processes_stop_at_one_position(count, monkeypatch):
    monkeypatch.setattr(interrupt.os, "_exit", leave)
    ends = []
    for seed in range(60):
        shared = {}, collections.defaultdict(dict), threading.Condition()
        processes = [Process(Channel(index, count, *shared), f"{seed} {index}") for index in range(count)]
        time.sleep(random.Random(seed).uniform(0, 0.012))
        processes[seed % count].interruption._hear(signal.SIGTERM)
        for process in processes:
            process.training.join(HANG)
        (end,) = {process.end for process in processes}
        ends.append(end)
    assert len(set(ends)) > 4


def test_a_process_tells_the_others_of_a_signal_when_it_has_joined_them(monkeypatch):
    channel = Channel(0, 2, {}, collections.defaultdict(dict), threading.Condition())
    monkeypatch.setattr(interrupt, "Channel", lambda name: channel)
    interruption = Interruption(joins=True)
    interruption._hear(signal.SIGTERM)
    assert channel.read("notice") is None
    interruption.connect()
    interruption._tell()
    assert channel.read("notice") == "SIGTERM to process 0"


def test_a_process_that_is_to_stop_does_not_wait_for_others_forever(monkeypatch):
    ends = []
    monkeypatch.setattr(interrupt.os, "_exit", ends.append)
    monkeypatch.setattr(interrupt, "_JOINING_SECONDS", -1.0)
    Interruption(joins=True)._hear(signal.SIGTERM)
    assert ends == [INTERRUPTED]


BUSY = """
import hashlib, sys
from i2v_jax import logs
from i2v_jax.training.interrupt import Interruption
logs.show()
interruption = Interruption()
interruption.listen()
if sys.argv[1] == "trained":
    interruption.begin()
    interruption.reached(1)
print("busy", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # like a compilation, does not let Python's handlers run
"""


@pytest.mark.parametrize(
    ("state", "numbers", "status"),
    [
        ("new", [signal.SIGTERM], INTERRUPTED),
        ("new", [signal.SIGINT], INTERRUPTED),
        ("trained", [signal.SIGTERM, signal.SIGTERM, signal.SIGINT], 130),
        ("trained", [signal.SIGINT, signal.SIGINT], 130),
    ],
)
def test_signals_are_heard_while_the_main_thread_is_busy(state, numbers, status):
    command = [sys.executable, "-c", BUSY, state]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "busy\n"
            for index, number in enumerate(numbers):
                process.send_signal(number)
                if index == 0:
                    assert process.stdout.readline().startswith(f"{number.name}: ")  # it is told at once
            assert process.wait(HANG) == status
        finally:
            process.kill()


def test_without_a_signal_nothing_stops():
    with Interruption() as interruption:
        assert not interruption.begin()
        assert not interruption.reached(1)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
