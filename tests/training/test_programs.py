"""The compiled functions of a stage."""

import re

import jax
import pytest

from i2v_jax import config_files
from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.planning.stage import abstract_stage
from i2v_jax.pretrained import weights
from i2v_jax.training.programs import Programs, distinct_steps

STAGES = [("bair:runlocal", "video_vae"), ("bair:runlocal", "image_ae"), ("iper:model=poke,runlocal", "poke")]


@pytest.mark.parametrize(("spec", "name"), STAGES)
def test_every_array_of_the_state_is_overwritten_by_its_own_result(spec, name):
    """Otherwise the compiler copies arrays first. These steps do not read some arrays, and do not change others."""
    config = config_files.load(spec)
    with weights.only_shapes():
        stage = abstract_stage(config, name)
        programs = Programs(name, stage.task, config, make_mesh(config.mesh, jax.devices()[:1]), stage.batch, 100)
        for updates in distinct_steps(stage.task.updates, stage.steps):
            lowered = programs.lower_step(updates, programs.state, stage.task.frozen, stage.batch)
            signature = re.search(r"func\.func public @main\((.*)\) -> ", lowered.as_text())[1]
            results = [re.search(r"tf\.aliasing_output = (\d+)", argument) for argument in signature.split("%arg")[1:]]
            count = len(jax.tree.leaves(programs.state))
            assert [result and int(result[1]) for result in results[:count]] == list(range(count))
            assert not any(results[count:])
