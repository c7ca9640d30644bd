"""One step: which results of earlier updates the later ones see."""

import jax
import jax.numpy as jnp
import pytest

from i2v_jax.config import Config
from i2v_jax.configs import fields
from i2v_jax.tasks.base import Update
from i2v_jax.training.optimizers import make_optimizer
from i2v_jax.training.state import TrainState
from i2v_jax.training.step import make_step


class Two:
    """A task of two numbers with their own losses; the second one's rate depends on the first one's loss."""

    forward_networks, ema_networks = (), ()

    def __init__(self):
        self.updates = (
            Update("first", ("a",), self.loss("a", 3.0), monitor="a"),
            Update("second", ("b",), self.loss("b", 5.0), monitor="a"),
        )

    def forward(self, networks, batch, rng):
        return (), {}

    @staticmethod
    def loss(name, target):
        def loss(networks, outputs, batch, rng):
            value = (networks[name]["params"]["w"] - target) ** 2
            return value, ({}, {name: value})

        return loss


def test_a_schedule_can_watch_a_metric_of_an_update_before():
    task = Two()
    optimizer = make_optimizer(Config(fields.optimizer(plateau=True)), steps_per_epoch=1)
    params = {name: {"w": jnp.zeros(())} for name in "ab"}
    state = TrainState(
        jnp.zeros((), jnp.int32),
        params,
        {name: {} for name in "ab"},
        dict.fromkeys("ab", optimizer.init(params["a"])),
        {},
    )
    step = jax.jit(make_step(task, task.updates, dict.fromkeys("ab", optimizer), 0.0, 0))
    state, metrics = step(state, {}, {})
    assert (float(metrics["a"]), float(metrics["b"])) == (9.0, 25.0)
    assert metrics["gradient_norm/a"] == pytest.approx(6) and metrics["gradient_norm/b"] == pytest.approx(10)
    for name in "ab":
        assert float(state.opt_state[name][-1].best_value) == 9.0
