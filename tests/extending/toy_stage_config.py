"""A configuration that trains the stage of `toy_stage.py` on the procedural sky."""

from i2v_jax.config import Config
from i2v_jax.configs import fields, stage_fields


def get_config(argument: str | None = "") -> Config:
    config = Config(fields.run(size=32))
    config.plugins = ("tests.extending.toy_stage",)
    drift = stage_fields.stage(
        "drift", config.data, batch_size=4, epochs=1, optimizer=stage_fields.optimizer(learning_rate=1e-3)
    )
    config.declare(stages=("drift",), drift=drift)
    config.data.update(name="sky", workers=0)
    config.data.num_clips.update(train=8, eval=4, test=4)
    return config
