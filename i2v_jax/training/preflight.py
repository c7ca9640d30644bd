"""What can be said of a configuration before the first stage is trained, for all of its stages."""

from collections.abc import Mapping

from jax.sharding import Mesh
from ml_collections import ConfigDict

from i2v_jax.config import check_at_least, check_choices
from i2v_jax.distributed.mesh import check_batch_size
from i2v_jax.errors import UserError
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.tasks import control, perceptual_loss, registry
from i2v_jax.training.optimizers import OPTIMIZERS

_LEAST: Mapping[str, float] = {
    "train.log_every": 1,
    "train.preview_every": 1,
    "train.checkpoint_every": 1,
    "train.evaluate_every": 1,
    "train.evaluate_clips": 0,
    "train.keep": 1,
    "train.previews": 1,
    "train.ema": 0,
    "data.workers": 0,
    "data.prefetch": 0,
}


def check_config(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError for the first field that cannot be what it is: its name, its value, and what is allowed."""
    check_at_least(config, _LEAST)
    for stage in config.stages:
        check_at_least(config, {f"{stage}.batch_size": 1, f"{stage}.steps": 0, f"{stage}.optimizer.decay_epochs": 1})
        choices = {"optimizer.name": OPTIMIZERS, "loss.perceptual_network": perceptual_loss.NAMES}
        check_choices(config, {f"{stage}.{name}": allowed for name, allowed in choices.items()})
    registry.build(config)
    for stage in (config.stage,) if config.stage else config.stages:
        check_batch_size(stage, config[stage].batch_size, mesh)


def check_control(config: ConfigDict, clips: Pipeline) -> None:
    """Raises UserError where `clips`, of this configuration, do not carry what `config.control` is made of."""
    known = [each.name for each in control.every() if set(each.arrays) <= clips.batch_spec.keys()]
    if config.control not in known:
        raise UserError(
            f"control={config.control}: the clips of {config.data.name} carry no such thing; choose {', '.join(known)} "
            "(an endpoint is known of clips that are never mirrored: data.flip=0)"
        )
