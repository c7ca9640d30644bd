"""Refuses a configuration that cannot be trained, for all of its stages, before the first one starts."""

from jax.sharding import AbstractMesh, Mesh
from ml_collections import ConfigDict

from i2v_jax.config import Field
from i2v_jax.distributed.mesh import check_batch_size, parse_rules
from i2v_jax.errors import UserError
from i2v_jax.input.pipeline import Pipeline
from i2v_jax.tasks import control, registry


def check_config(config: ConfigDict, mesh: Mesh | AbstractMesh) -> None:
    """Raises UserError for fields that do not fit each other, or the devices."""
    Field("", choices=("", *config.stages)).check("stage", config.stage)
    registry.build(config)
    parse_rules(config.mesh.rules)
    for stage in stages_to_train(config):
        check_batch_size(stage, config[stage].batch_size, mesh, config[stage].accumulate)


def stages_to_train(config: ConfigDict) -> tuple[str, ...]:
    """Returns `config.stage`, or all stages if it is empty."""
    return (config.stage,) if config.stage else tuple(config.stages)


def check_control(config: ConfigDict, clips: Pipeline) -> None:
    """Raises UserError if `clips` do not have the labels that `config.control` is made of."""
    known = [each.name for each in control.every() if set(each.arrays) <= clips.batch_spec.keys()]
    if config.control not in known:
        mirrored = " (end points are known only for clips that are never mirrored: data.flip=0)"
        raise UserError(
            f"control={config.control}: the clips of {config.data.name} lack its label; choose {', '.join(known)}"
            f"{mirrored if config.data.flip else ''}",
            "control",
            config.control,
        )
