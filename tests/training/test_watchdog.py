"""A training that hangs says what it was doing, and ends."""

import threading

import pytest

from i2v_jax import logs
from i2v_jax.training import watchdog
from i2v_jax.training.saved_networks import load_networks
from tests.compiling import HANG
from tests.training.tiny import tiny_trainer


class _Hangs:
    """Batches of a data source that does not answer at the fifth one."""

    def __init__(self, batches, hang):
        self._batches, self._hang = batches, hang

    def __next__(self):
        if self._batches.get_state() == {"step": 4}:
            self._hang()
        return next(self._batches)

    def __getattr__(self, name):
        return getattr(self._batches, name)


def test_a_hang_is_named(tmp_path, monkeypatch, caplog):
    statuses, ended = [], threading.Event()
    monkeypatch.setattr(watchdog.os, "_exit", lambda status: (statuses.append(status), ended.set()))
    monkeypatch.setattr(logs.logger, "propagate", True)
    trainer = tiny_trainer(tmp_path, 8)
    assert trainer._watchdog._seconds == 3600
    restore = trainer.restore_or_init

    def hang():
        trainer._watchdog._seconds = 0.1  # from now on, so that no slow machine fires it before
        assert ended.wait(HANG)
        raise TimeoutError

    def state_and_batches():
        state, batches = restore()
        return state, _Hangs(batches, hang)

    monkeypatch.setattr(trainer, "restore_or_init", state_and_batches)
    with pytest.raises(TimeoutError):
        trainer.run()
    assert statuses[0] == 1
    message = caplog.records[-1].getMessage()
    assert "reading the data of step 5" in message and "train.hang_seconds" in message
    assert load_networks(tmp_path)["step"] == 3
