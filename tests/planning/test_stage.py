"""A stage without data, weights or devices has the shapes of the real one."""

import jax
import pytest

from i2v_jax import config_files
from i2v_jax.data.registry import open_split
from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.planning.stage import abstract_stage
from i2v_jax.pretrained import weights
from i2v_jax.tasks.base import Update
from i2v_jax.training.programs import Programs, distinct_steps


@pytest.mark.parametrize("spec", ["sky:runlocal", "plants:runlocal"])
def test_batches_have_the_shapes_of_the_data(spec):
    config = config_files.load(spec)
    stage = config.stages[0]
    with weights.only_shapes():
        planned = abstract_stage(config, stage)
    clips = make_pipeline(open_split(config.data, "train"), config.data, batch_size=4, seed=0, train=True)
    assert dict(planned.batch) == clips.batch_spec
    assert planned.steps_per_epoch == clips.steps_per_epoch


@pytest.mark.parametrize(
    "spec", ["bair:runlocal", "poking_plants:runlocal", "iper:model=sequence,runlocal", "dtdb_i3d:runlocal"]
)
def test_every_stage_has_a_state_without_data_or_weights(spec, monkeypatch, tmp_path):
    monkeypatch.setenv("I2V_JAX_CACHE", str(tmp_path))  # without weights
    config = config_files.load(spec)
    for name in config.stages:
        with weights.only_shapes():
            stage = abstract_stage(config, name)
            programs = Programs(name, stage.task, config, make_mesh(config.mesh, jax.devices()[:1]), stage.batch, 100)
        assert set(programs.state.params) == set(stage.task.modules)
        assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves((programs.state, stage.batch)))


def test_encoded_clips_have_no_video():
    config = config_files.load("bair:runlocal", ["flow.encode_once=true"])
    with weights.only_shapes():
        stage = abstract_stage(config, "flow")
    assert {name: array.shape[0] for name, array in stage.batch.items()} == {"mean": 4, "logvar": 4, "embedding": 4}


def test_distinct_steps():
    def update(name, **when):
        return Update(name, (), lambda *_: None, **when)

    updates = (update("first", last_step=3), update("then", first_step=3), update("often", every=2))
    names = [[each.name for each in step] for step in distinct_steps(updates, 100)]
    assert names == [["first", "often"], ["first"], ["then"], ["then", "often"]]
    assert [[each.name for each in step] for step in distinct_steps(updates, 1)] == [["first", "often"]]
