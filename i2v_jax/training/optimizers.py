"""Optimisers from the config: Adam as PyTorch's default loops use it, with step decay or plateau halving."""

import optax
from ml_collections import ConfigDict

_SMALLEST_RATE = 1e-8  # of the plateau schedule, spec of the image autoencoder


def make_optimizer(config: ConfigDict, steps_per_epoch: int) -> optax.GradientTransformationExtraArgs:
    """The optimiser of one network.

    Args:
      config: the fields of `optimizer` in configs/common.py.
      steps_per_epoch: what the epochs of the schedule are, in steps.
    """
    parts: list[optax.GradientTransformation] = []
    if config.clip_norm > 0:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.weight_decay > 0:
        parts.append(optax.add_decayed_weights(config.weight_decay))
    scale = {"adam": optax.scale_by_adam, "amsgrad": optax.scale_by_amsgrad}[config.name]
    parts.append(scale(b1=config.b1, b2=config.b2))
    parts.append(optax.scale_by_learning_rate(learning_rate_schedule(config, steps_per_epoch)))
    if config.plateau:
        parts.append(
            # PyTorch's patience of 1 tolerates one bad epoch; optax counts the epoch at which it acts.
            optax.contrib.reduce_on_plateau(
                factor=0.5,
                patience=2,
                rtol=0.0,
                atol=1e-4,
                accumulation_size=steps_per_epoch,
                min_scale=_SMALLEST_RATE / config.learning_rate,
            )
        )
    return optax.with_extra_args_support(optax.chain(*parts))


def learning_rate_schedule(config: ConfigDict, steps_per_epoch: int) -> optax.Schedule:
    """Step -> learning rate, before the plateau's factor."""
    return optax.exponential_decay(
        config.learning_rate, config.decay_epochs * steps_per_epoch, config.decay, staircase=True
    )
