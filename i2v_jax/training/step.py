"""One training step of any task: a shared forward pass, the updates in order, the average of the parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from i2v_jax.tasks.base import (
    Batch,
    Metrics,
    Networks,
    Stream,
    Task,
    Update,
    merge_collections,
    replace_params,
)
from i2v_jax.training.state import TrainState, split

Step = Callable[[TrainState, Networks, Batch], tuple[TrainState, Metrics]]
# (update, networks) -> (gradients by network, collections that changed, metrics)
Gradients = Callable[[Update, Networks], tuple[dict[str, Any], Networks, Metrics]]


def make_step(
    task: Task,
    updates: Sequence[Update],
    optimizers: Mapping[str, optax.GradientTransformationExtraArgs],
    ema_decay: float,
    seed: int,
    accumulate: int = 1,
) -> Step:
    """Returns a function (state, frozen networks, batch) -> (state, metrics) that performs some updates of the task.

    Args:
      task: what is learned.
      updates: those of its updates to perform, in order.
      optimizers: by `Update.opt_state_key`.
      ema_decay: of the averaged parameters.
      seed: of the random numbers of all steps.
      accumulate: the number of parts of the batch. They follow each other, in the memory of one part, and each update
        takes one step with the mean of their gradients.
    """

    def step(state: TrainState, frozen: Networks, batch: Batch) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        networks = {**state.variables(), **frozen}
        if accumulate > 1:
            gradients, changed = _of_parts(task, networks, batch, rng, accumulate)
        else:
            gradients, changed = _of_batch(task, networks, batch, rng)
        networks = merge_collections(networks, changed)
        opt_state: dict[str, Any] = dict(state.opt_state)
        metrics: Metrics = {}
        for update in updates:
            grads, changed, terms = gradients(update, networks)
            metrics.update(terms)
            networks = merge_collections(networks, changed)
            for name in update.networks:
                key, params = update.opt_state_key(name), networks[name]["params"]
                value = metrics[update.monitor] if update.monitor else jnp.zeros(())
                delta, opt_state[key] = optimizers[key].update(grads[name], opt_state[key], params, value=value)
                networks = replace_params(networks, {name: optax.apply_updates(params, delta)})
                metrics[f"gradient_norm/{name}"] = optax.global_norm(grads[name])
        params, model_state = split({name: networks[name] for name in state.params})
        ema = _average(state.ema, params, state.step, ema_decay)
        return TrainState(state.step + 1, params, model_state, opt_state, ema), metrics

    return step


def _of_batch(task: Task, start: Networks, batch: Batch, rng: jax.Array) -> tuple[Gradients, Networks]:
    """Returns a function that differentiates updates, and the collections that the shared forward pass changes."""
    outputs, pullback, changed = _forward(task, start, batch, rng)
    return lambda update, networks: _gradients(update, networks, outputs, pullback, batch, rng), changed


def _of_parts(task: Task, start: Networks, batch: Batch, rng: jax.Array, count: int) -> tuple[Gradients, Networks]:
    """Returns what `_of_batch` does, as means over `count` parts of the batch.

    Nothing of a part is kept while the next one is computed, so that each update has a forward pass of its own.
    """

    def gradients(update: Update, networks: Networks) -> Any:
        def of_part(batch: Batch, rng: jax.Array) -> Any:
            outputs, pullback, _ = _forward(task, start, batch, rng)
            return _gradients(update, networks, outputs, pullback, batch, rng)

        return _mean_over_parts(of_part, batch, rng, count)

    # Of a pass that changes spectral norms alone, which depend on no clip, the compiler keeps nothing else.
    changed = _mean_over_parts(lambda batch, rng: _forward(task, start, batch, rng)[2], batch, rng, count)
    return gradients, changed


def _mean_over_parts(function: Callable[[Batch, jax.Array], Any], batch: Batch, rng: jax.Array, count: int) -> Any:
    """Returns the mean of `function` (part of the batch, its key) -> pytree; of what is not a float, the last value."""
    # Part i has the rows i, i + count, ...: each device has as many rows of every part, and none has to move.
    parts = {name: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0) for name, x in batch.items()}
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(rng, Stream.PARTS), jnp.arange(count))

    def add(total: Any, part: tuple[Batch, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(lambda a, b: a + b if _is_float(b) else b, total, function(*part)), None

    shapes = jax.eval_shape(function, {name: x[0] for name, x in parts.items()}, keys[0])
    if not jax.tree.leaves(shapes):
        return shapes
    total, _ = jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), (parts, keys))
    return jax.tree.map(lambda leaf: leaf / count if _is_float(leaf) else leaf, total)


def _is_float(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _forward(task: Task, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[Any, Callable[..., Any], Networks]:
    """Returns the outputs of the task's forward pass, its pullback, and the collections that it changes."""
    return jax.vjp(
        lambda params: task.forward(replace_params(networks, params), batch, rng),
        {name: networks[name]["params"] for name in task.forward_networks},
        has_aux=True,
    )


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
