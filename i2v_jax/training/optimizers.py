"""Optimizers from the config: Adam as PyTorch's default loops use it, or Muon; with step decay or plateau halving."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from i2v_jax.models.layers import gathered
from i2v_jax.tasks.base import Update
from i2v_jax.tasks.scaling import rate_factor

OPTIMIZERS = ("adam", "amsgrad", "muon")
_SMALLEST_RATE = 1e-8  # of the plateau schedule, spec of the image autoencoder


def make_optimizers(
    updates: Sequence[Update], config: ConfigDict, steps_per_epoch: int, batch_ratio: float = 1.0
) -> dict[str, optax.GradientTransformationExtraArgs]:
    """Returns the optimizer of every `Update.opt_state_key` of a task; the other arguments are as in `make_optimizer`.

    An optimizer counts its own steps. The epochs of its schedule count from the first one in which it takes any.
    """
    first: dict[str, int] = {}
    constant: dict[str, bool] = {}
    for update in updates:
        for name in update.networks:
            key = update.opt_state_key(name)
            first[key] = min(update.first_step, first.get(key, update.first_step))
            constant[key] = name in update.constant_rate
    return {
        key: make_optimizer(config, steps_per_epoch, batch_ratio, step % steps_per_epoch, decays=not constant[key])
        for key, step in first.items()
    }


def make_optimizer(
    config: ConfigDict, steps_per_epoch: int, batch_ratio: float = 1.0, missed: int = 0, *, decays: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Returns the optimizer of one network.

    Args:
      config: the fields of `optimizer` in configs/stage_fields.py.
      steps_per_epoch: steps per epoch of the schedule.
      batch_ratio: size of the batch over that of the batch that the learning rate is for, see `tasks/scaling.py`.
      missed: steps of the schedule's first epoch before the first one of the optimizer.
      decays: whether the rate follows the schedule; otherwise it stays as it is at the start.
    """
    schedule = learning_rate_schedule(config, steps_per_epoch, batch_ratio, missed, decays=decays)
    mu_dtype = config.mu_dtype or None
    parts: list[optax.GradientTransformation] = []
    if config.clip_norm > 0:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.weight_decay > 0:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    if config.name == "muon":
        parts.append(_muon(config, schedule, mu_dtype))
    else:
        scale = optax.scale_by_adam if config.name == "adam" else optax.scale_by_amsgrad
        parts += [scale(b1=config.b1, b2=config.b2, mu_dtype=mu_dtype), optax.scale_by_learning_rate(schedule)]
    if config.plateau:
        parts.append(_halved_on_plateau(config, steps_per_epoch))
    return optax.with_extra_args_support(optax.chain(*parts))


def _halved_on_plateau(config: ConfigDict, steps_per_epoch: int) -> optax.GradientTransformationExtraArgs:
    """Returns the plateau schedule, judged by the mean over each epoch, or by its last step with `plateau_last`."""
    plateau = optax.contrib.reduce_on_plateau(
        factor=0.5,
        patience=2,  # PyTorch's patience of 1 tolerates one bad epoch; optax counts the epoch at which it acts
        rtol=0.0,
        atol=1e-4,
        accumulation_size=steps_per_epoch,
        min_scale=_SMALLEST_RATE / config.learning_rate,
    )
    if not config.plateau_last:
        return plateau

    def update(updates: Any, state: Any, params: Any = None, *, value: Any, **extra: Any) -> Any:
        is_last = state.count == steps_per_epoch - 1
        alone = jnp.where(is_last, steps_per_epoch * value, 0.0)  # the mean of an epoch is its last value
        return plateau.update(updates, state, params, value=alone, **extra)

    return optax.GradientTransformationExtraArgs(plateau.init, update)


def _muon(config: ConfigDict, schedule: optax.Schedule, mu_dtype: str | None) -> optax.GradientTransformation:
    """Returns Muon: orthogonalized momentum for kernels (Jordan et al. 2024), Nesterov's Adam for vectors, one rate.

    The root mean square of a kernel's step is the learning rate, about as with Adam. All directions of a kernel move
    alike: a rare one, such as the one that distinguishes motions, is learned as early as the frequent ones. A parameter
    named kernel_of_N is N kernels side by side, such as those of the gates of a GRU; each is orthogonalized by itself.

    Each device orthogonalizes whole kernels, even those that devices share. Left to itself, the compiler splits the
    products, and devices exchange parts in each. Optax computes some products in branches. A CPU runs branches side by
    side, so processes would exchange parts in different orders. To prevent that, the inputs and the results of the
    update are both whole.
    """

    def dimension_numbers(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: _kernel_axes(path[-1].key, leaf.ndim) if "kernel" in path[-1].key else None, params
        )

    muon = optax.contrib.muon(
        schedule,
        ns_steps=4,
        preconditioning="aol",  # as close to orthogonal as five steps without it
        muon_weight_dimension_numbers=dimension_numbers,
        consistent_rms=1.0,
        adam_learning_rate=schedule,
        adam_b1=config.b1,
        adam_b2=config.b2,
        mu_dtype=mu_dtype,
    )

    def init(params: Any) -> Any:
        return muon.init(_set_apart(params))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        updates, state = jax.tree.map(gathered, (updates, state))
        found = muon.update(_set_apart(updates), state, _set_apart(params))
        steps, state = jax.tree.map(gathered, found)
        return jax.tree.map(lambda step, whole: step.reshape(whole.shape), steps, updates), state

    return optax.GradientTransformation(init, update)


def _side_by_side(name: str) -> int:
    """Returns the number of kernels in a parameter: N of kernel_of_N."""
    return int(name.rpartition("_of_")[2]) if "_of_" in name else 1


def _set_apart(params: Any) -> Any:
    """Separates kernels that are side by side: [h, w, C, N * features] -> [h, w, C, N, features]."""

    def split(path: Any, leaf: jax.Array) -> jax.Array:
        count = _side_by_side(path[-1].key)
        return leaf.reshape(*leaf.shape[:-1], count, -1) if count > 1 else leaf

    return jax.tree_util.tree_map_with_path(split, params)


def _kernel_axes(name: str, rank: int) -> optax.contrib.MuonDimensionNumbers:
    """Inputs are all axes but the last, without those that count kernels: the first of three, that of `_set_apart`."""
    first, last = (1 if rank == 3 else 0), rank - (2 if _side_by_side(name) > 1 else 1)
    return optax.contrib.MuonDimensionNumbers(tuple(range(first, last)), rank - 1)


def learning_rate_schedule(
    config: ConfigDict, steps_per_epoch: int, batch_ratio: float = 1.0, missed: int = 0, *, decays: bool = True
) -> optax.Schedule:
    """Returns step -> learning rate, without the plateau's factor. It decays at the milestones, or else regularly.

    The arguments are those of `make_optimizer`.
    """
    rate = config.learning_rate * rate_factor(config.scaling, batch_ratio)
    if not decays:
        return optax.constant_schedule(rate)
    if config.milestones:
        schedule = optax.piecewise_constant_schedule(
            rate, {epoch * steps_per_epoch: config.decay for epoch in config.milestones}
        )
    else:
        schedule = optax.exponential_decay(rate, config.decay_epochs * steps_per_epoch, config.decay, staircase=True)
    return lambda step: schedule(step + missed)
