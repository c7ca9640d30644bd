"""One step: which results of earlier updates the later ones see, and that a batch may come in parts."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from i2v_jax.config import Config
from i2v_jax.configs import common, stage_fields
from i2v_jax.distributed import mesh as meshes
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
    optimizer = make_optimizer(Config(stage_fields.optimizer(plateau=True)), steps_per_epoch=1)
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


class Chain:
    """A task in which all depends on all: shared outputs, ordered updates, a state that moves, metrics, a count."""

    forward_networks, ema_networks = ("a",), ("b",)

    def __init__(self):
        self.updates = (Update("first", ("b",), self.first), Update("second", ("a", "b"), self.second))

    def forward(self, networks, batch, rng):
        outputs = jnp.tanh(batch["x"] @ networks["a"]["params"]["w"])
        statistics = networks["a"]["statistics"]
        moved = {"mean": 0.9 * statistics["mean"] + 0.1 * jnp.mean(outputs, axis=0), "count": statistics["count"] + 1}
        return outputs, {"a": {"statistics": moved}}

    def first(self, networks, outputs, batch, rng):
        loss = jnp.mean((jax.lax.stop_gradient(outputs) @ networks["b"]["params"]["w"] - batch["y"]) ** 2)
        return loss, ({"b": {"seen": {"loss": loss}}}, {"first": loss})

    def second(self, networks, outputs, batch, rng):
        mean = networks["a"]["statistics"]["mean"]  # of the whole batch, whatever its parts
        scores = (outputs - mean) @ networks["b"]["params"]["w"] * networks["b"]["seen"]["loss"]
        loss = jnp.mean(jnp.abs(scores - batch["y"])) + jnp.mean(batch["x"] @ networks["a"]["params"]["w"] ** 2)
        return loss, ({}, {"second": loss})


@pytest.mark.parametrize("parts", [2, 3])
def test_gradients_of_parts_add_up_to_those_of_the_batch(parts):
    """In double precision, so that what differs is the order of sums of 12 terms of size 1: some 1e-15.

    Adam divides by the size of a gradient, so errors are relative; three steps may add them up.
    """
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        batch = {"x": jnp.asarray(rng.normal(size=(12, 5))), "y": jnp.asarray(rng.normal(size=(12, 3)))}
        params = {"a": {"w": jnp.asarray(rng.normal(size=(5, 4)))}, "b": {"w": jnp.asarray(rng.normal(size=(4, 3)))}}
        statistics = {"mean": jnp.zeros(4), "count": jnp.zeros((), jnp.int32)}
        model_state = {"a": {"statistics": statistics}, "b": {"seen": {"loss": jnp.ones(())}}}
        optimizer = optax.with_extra_args_support(optax.adam(1e-2))
        opt_state = {name: optimizer.init(tree) for name, tree in params.items()}
        start = TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state, {"b": params["b"]})
        results = []
        for accumulate in (1, parts):
            task, optimizers, state = Chain(), dict.fromkeys("ab", optimizer), start
            step = jax.jit(make_step(task, task.updates, optimizers, 0.9, 0, accumulate=accumulate))
            for _ in range(3):
                state, metrics = step(state, {}, batch)
            results.append((state, metrics))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-14), *results)
        assert int(results[1][0].model_state["a"]["statistics"]["count"]) == 3


class Draw:
    """A task whose gradient is the mean of what it draws for the rows of the batch."""

    forward_networks, ema_networks = (), ()

    def __init__(self):
        self.updates = (Update("draw", ("a",), self.loss),)

    def forward(self, networks, batch, rng):
        return (), {}

    def loss(self, networks, outputs, batch, rng):
        loss = networks["a"]["params"]["w"] * jnp.mean(jax.random.normal(rng, batch["x"].shape))
        return loss, ({}, {"drawn": loss})


def test_every_part_and_every_step_draws_its_own_numbers():
    task = Draw()
    params = {"a": {"w": jnp.ones(())}}
    optimizer = optax.with_extra_args_support(optax.sgd(0.0))
    state = TrainState(jnp.zeros((), jnp.int32), params, {"a": {}}, {"a": optimizer.init(params["a"])}, {})
    drawn = set()
    for parts in (1, 2, 4):
        step = jax.jit(make_step(task, task.updates, {"a": optimizer}, 0.0, 0, accumulate=parts))
        state, metrics = step(state, {}, {"x": jnp.zeros(4)})
        # Were the parts' draws the same, the mean of 2 or 4 of them would be that of one part.
        drawn.add(round(float(metrics["drawn"]), 6))
    assert len(drawn) == 3


def test_no_row_moves_to_another_device_when_a_batch_is_divided():
    mesh = meshes.make_mesh(common.base(32).mesh, jax.devices()[:4])
    everywhere = meshes.replicated(mesh)
    task = Chain()
    params = {"a": {"w": jnp.ones((5, 4))}, "b": {"w": jnp.ones((4, 3))}}
    statistics = {"mean": jnp.zeros(4), "count": jnp.zeros((), jnp.int32)}
    model_state = {"a": {"statistics": statistics}, "b": {"seen": {"loss": jnp.ones(())}}}
    optimizer = optax.with_extra_args_support(optax.adam(1e-2))
    opt_state = {name: optimizer.init(tree) for name, tree in params.items()}
    state = TrainState(jnp.zeros((), jnp.int32), params, model_state, opt_state, {})
    step = make_step(task, task.updates, dict.fromkeys("ab", optimizer), 0.9, 0, accumulate=2)
    shardings = (everywhere, everywhere, meshes.batch_sharding(mesh))
    batch = {"x": np.ones((16, 5), np.float32), "y": np.ones((16, 3), np.float32)}
    program = jax.jit(step, in_shardings=shardings, out_shardings=everywhere).lower(state, {}, batch).compile()
    collectives = re.findall(r"all-reduce|all-gather|all-to-all|collective-permute", program.as_text())
    assert set(collectives) == {"all-reduce"}
