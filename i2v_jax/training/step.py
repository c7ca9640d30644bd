"""One training step of any task: a shared forward pass, the updates in order, the average of the parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from i2v_jax.tasks.base import Batch, Metrics, Networks, Task, Update, merge_collections, replace_params
from i2v_jax.training.state import TrainState, split

Step = Callable[[TrainState, Networks, Batch], tuple[TrainState, Metrics]]


def make_step(
    task: Task,
    updates: Sequence[Update],
    optimizers: Mapping[str, optax.GradientTransformationExtraArgs],
    ema_decay: float,
    seed: int,
) -> Step:
    """Returns a function (state, frozen networks, batch) -> (state, metrics) that performs some updates of the task."""

    def step(state: TrainState, frozen: Networks, batch: Batch) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        networks = {**state.variables(), **frozen}
        outputs, pullback, changed = jax.vjp(
            lambda params: task.forward(replace_params(networks, params), batch, rng),
            {name: networks[name]["params"] for name in task.forward_networks},
            has_aux=True,
        )
        networks = merge_collections(networks, changed)
        opt_state: dict[str, Any] = dict(state.opt_state)
        metrics: Metrics = {}
        for update in updates:
            grads, changed, terms = _gradients(update, networks, outputs, pullback, batch, rng)
            metrics.update(terms)
            networks = merge_collections(networks, changed)
            for name in update.networks:
                optimizer, params, key = optimizers[name], networks[name]["params"], update.opt_state_key(name)
                value = metrics[update.monitor] if update.monitor else jnp.zeros(())
                delta, opt_state[key] = optimizer.update(grads[name], opt_state[key], params, value=value)
                networks = replace_params(networks, {name: optax.apply_updates(params, delta)})
                metrics[f"gradient_norm/{name}"] = optax.global_norm(grads[name])
        params, model_state = split({name: networks[name] for name in state.params})
        ema = _average(state.ema, params, state.step, ema_decay)
        return TrainState(state.step + 1, params, model_state, opt_state, ema), metrics

    return step


def _gradients(
    update: Update, networks: Networks, outputs: Any, pullback: Callable[..., Any], batch: Batch, rng: jax.Array
) -> tuple[dict[str, Any], Networks, Metrics]:
    """Returns the gradients of `update` by network, including those through the outputs of the forward pass."""

    def loss(params: dict[str, Any], outputs: Any) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        return update.loss(replace_params(networks, params), outputs, batch, rng)

    params = {name: networks[name]["params"] for name in update.networks}
    gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (direct, by_output), (changed, metrics) = gradient(params, outputs)
    (through,) = pullback(by_output)
    grads = {
        name: jax.tree.map(jnp.add, tree, through[name]) if name in through else tree for name, tree in direct.items()
    }
    return grads, changed, metrics


def _average(ema: dict[str, Any], params: dict[str, Any], step: jax.Array, decay: float) -> dict[str, Any]:
    """Returns the exponential moving average. Its horizon grows with the steps taken, up to that of `decay`."""
    weight = jnp.maximum(1 - decay, 9 / (10 + step))
    return optax.incremental_update({name: params[name] for name in ema}, ema, weight)
