"""Writes a work directory as training does, with untrained networks and without compiling."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from i2v_jax.models.poke_model import PokeModel
from i2v_jax.tasks import control, registry
from i2v_jax.tasks.poke import MODEL
from i2v_jax.training.checkpoint import Checkpointer
from i2v_jax.training.state import TrainState, split
from i2v_jax.workdir import claim_workdir
from tests.models.random_variables import random_variables

EMA_FACTOR = 0.5


def write_run(folder: pathlib.Path, config: ConfigDict) -> None:
    """Writes config.json and one checkpoint per stage; averaged parameters are EMA_FACTOR times the others."""
    claim_workdir(config, folder)
    for stage, variables in stage_variables(config).items():
        params, model_state = split(variables)
        ema = jax.tree.map(lambda leaf: EMA_FACTOR * leaf, params)
        state = TrainState(jnp.asarray(4), params, model_state, {}, ema)
        checkpointer = Checkpointer(folder / stage, keep=1, best="")
        checkpointer.save(state, {"step": 4}, config, {})
        checkpointer.close()


def stage_variables(config: ConfigDict) -> dict[str, dict[str, dict]]:
    """Stage -> network -> variables, of the networks that sampling needs."""
    modules = registry.build(config)
    if "poke" in modules:
        return {"poke": poke_variables(config, modules["poke"])}
    size, z_dim = config.data.size, config.video_vae.encoder.z_dim
    frame, latent = jnp.zeros((1, size, size, 3)), jnp.zeros((1, z_dim))
    condition = jnp.zeros((1, config.image_ae.encoder.z_dim + control.get(config.control).width))
    flow = random_variables(modules["flow"]["flow"], latent, condition)
    rng = np.random.default_rng(0)
    flow["buffers"] = jax.tree.map(lambda _: rng.permutation(z_dim), flow["buffers"])
    return {
        "video_vae": {
            "encoder": random_variables(modules["video_vae"]["encoder"], jnp.zeros((1, 16, size, size, 3))),
            "decoder": random_variables(modules["video_vae"]["decoder"], frame, latent),
        },
        "image_ae": {"encoder": random_variables(modules["image_ae"]["encoder"], frame)},
        "flow": {"flow": flow},
    }


def poke_variables(config: ConfigDict, modules: dict) -> dict[str, dict]:
    size = config.data.size
    model = PokeModel(**{name: modules[name] for name in MODEL})
    frame, poke = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 2))
    return {name: {"params": tree} for name, tree in random_variables(model, frame, poke)["params"].items()}
