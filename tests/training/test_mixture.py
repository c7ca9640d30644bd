"""A training on two data sets goes on bit for bit, and evaluates each of them."""

import jax
import pytest

from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.training import memory, run
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.loop import Trainer
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.stage_run import StageRun
from i2v_jax.training.writers import read_metrics
from tests.training.tiny import MeanColor, assert_same, tiny_config


@pytest.fixture
def train(monkeypatch):
    monkeypatch.setattr(memory, "check_memory", lambda *_: None)

    def train(folder, steps, **mixture):
        config = tiny_config()
        config.data.mixture.update(names=("textures",), **mixture)
        clips = run._open_clips(config, "video_vae")
        assert clips.train.num_clips == 48
        stage = StageRun(
            "video_vae", MeanColor(), clips.train, clips.evaluation, steps, config, folder, others=clips.others
        )
        assert Trainer(stage, make_mesh(config.mesh, jax.devices()[:1]), Interruption()).run()
        return load_networks(folder)["params"], read_metrics(folder)

    return train


def test_a_training_on_two_data_sets_goes_on_bit_for_bit(train, tmp_path):
    whole, lines = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 3)
    assert_same(train(tmp_path / "parts", 4)[0], whole)
    evaluated = [line for line in lines if "eval/textures/error" in line]
    assert [line["step"] for line in evaluated] == [3, 4]
    errors = {name: [line[name] for line in lines if name in line] for name in ("eval/error", "eval/textures/error")}
    assert len(errors["eval/error"]) == 2 and not set(errors["eval/error"]) & set(errors["eval/textures/error"])
    assert (tmp_path / "whole" / "curves" / "textures" / "error.png").is_file()
