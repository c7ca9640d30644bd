"""Training is the same on any number of devices and any mesh."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.training import programs
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.state import state_formats
from i2v_jax.training.writers import read_metrics
from tests.training.tiny import MeanColor, assert_same, tiny_config, tiny_trainer

MESHES = {
    "data": {},
    "fsdp": {"fsdp": 4},
    "zero": {"shard_optimizer": True},
    "all": {"replica": 2, "data": 2, "fsdp": 2, "shard_optimizer": True},
    "rules": {
        "fsdp": 2,
        "rules": ("^ema/=replicated", "(params|opt_state).*predictor.*kernel=fsdp+data:0", "bias=data"),
    },
}


@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_neither_the_number_of_devices_nor_the_mesh_matters(tmp_path, mesh):
    config = tiny_config()
    config.mesh.update(fsdp_min_size=1, **mesh)
    tiny_trainer(tmp_path / "one", 5).run()
    tiny_trainer(tmp_path / "many", 5, devices=8, config=config).run()
    one, many = load_networks(tmp_path / "one"), load_networks(tmp_path / "many")
    # Sums over the batch are taken in another order: a few units of float32 rounding, grown by five Adam steps of 1e-2.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one["params"], many["params"])
    losses = [[line["error"] for line in read_metrics(tmp_path / name) if "error" in line] for name in ("one", "many")]
    np.testing.assert_allclose(*losses, rtol=1e-4)


class Quiet(MeanColor):
    """A task that draws nothing."""

    def forward(self, networks, batch, rng):
        frame = batch["video"][:, 0].reshape(len(batch["video"]), -1)
        return self.modules["predictor"].apply(networks["predictor"], frame), {}


def test_a_batch_in_parts_trains_the_same(tmp_path):
    """On several devices, each with its rows of every part."""
    config = tiny_config()
    config.mesh.update(fsdp_min_size=1, shard_optimizer=True)
    config.video_vae.accumulate = 2
    tiny_trainer(tmp_path / "whole", 5, task=Quiet()).run()
    tiny_trainer(tmp_path / "parts", 5, devices=4, task=Quiet(), config=config).run()
    whole, parts = load_networks(tmp_path / "whole"), load_networks(tmp_path / "parts")
    # As for several devices: float32 sums in another order, and what five Adam steps of 1e-2 make of them.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), whole["params"], parts["params"])


@pytest.mark.parametrize("mesh", [{"fsdp": 8}, MESHES["all"]], ids=["fsdp", "all"])
def test_checkpoint_moves_between_meshes(tmp_path, mesh):
    config = tiny_config()
    config.mesh.update(fsdp_min_size=1, **mesh)
    trainer = tiny_trainer(tmp_path, 3, devices=8, config=config)
    trainer.run()
    before, (state, _) = load_networks(tmp_path), tiny_trainer(tmp_path, 3, devices=8, config=config).restore_or_init()
    trainer = tiny_trainer(tmp_path, 3, devices=2)
    moved, iterator = trainer.restore_or_init()
    assert iterator.get_state() == {"step": 3}
    assert_same(before["params"], jax.device_get(moved.params))
    assert_same(jax.device_get(state), jax.device_get(moved))


def test_previews_are_made_of_the_clips_they_show(tmp_path):
    """Two of the eight of a batch; four devices share at least four."""
    seen = []

    class Recorded(MeanColor):
        def preview(self, networks, batch, rng):
            seen.append(batch["video"].shape[0])
            return (batch["video"],)

    for devices in (1, 4):
        trainer = tiny_trainer(tmp_path / str(devices), 1, devices=devices, task=Recorded())
        state, iterator = trainer.restore_or_init()
        iterator.close()
        (batch,) = trainer._held_out._batches(trainer._stage.evaluation, 1)
        (row,) = trainer._held_out._preview(state, trainer.frozen, batch, jax.random.key(0))
        trainer.close()
        assert row.shape[0] == 2
        np.testing.assert_array_equal(row, batch["video"][:2])
    assert seen == [2, 4]


def test_batch_that_does_not_divide_is_one_clear_line(tmp_path):
    with pytest.raises(UserError) as raised:
        tiny_trainer(tmp_path, 1, devices=3)
    assert raised.value.field.endswith(".batch_size") and raised.value.value == 8


class Convolving(Quiet):
    """A task whose predictor is a convolution."""

    def __init__(self):
        super().__init__()
        self.modules["predictor"] = nn.Conv(3, (3, 3))

    def init_variables(self, rng, batch):
        return {
            "predictor": self.modules["predictor"].init(rng, batch["video"][:, 0]),
            "scale": self.modules["scale"].init(rng, jnp.ones((1, 3))),
        }

    def data_init(self, networks, batch, rng):
        return networks

    def forward(self, networks, batch, rng):
        features = self.modules["predictor"].apply(networks["predictor"], batch["video"][:, 0])
        return jnp.mean(jnp.tanh(features), axis=(1, 2)), {}


@pytest.mark.parametrize("devices", [1, 4])
def test_layouts_do_not_matter(tmp_path, monkeypatch, devices):
    """Kernels that lie as on a GPU train, are saved and restored."""
    config = tiny_config()
    config.mesh.update(fsdp_min_size=1, fsdp=devices)
    tiny_trainer(tmp_path / "usual", 5, task=Convolving()).run()
    monkeypatch.setattr(
        programs, "state_formats", lambda shardings, shapes, platform: state_formats(shardings, shapes, "gpu")
    )
    for steps in (3, 5):
        trainer = tiny_trainer(tmp_path / "gpu", steps, task=Convolving(), devices=devices, config=config)
        state, iterator = trainer.restore_or_init()
        iterator.close()
        assert state.params["predictor"]["kernel"].format.layout.major_to_minor == (3, 0, 1, 2)
        trainer.run()
    usual, gpu = load_networks(tmp_path / "usual"), load_networks(tmp_path / "gpu")
    # As above: float32 sums in another order.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), usual["params"], gpu["params"])


def test_other_devices_have_their_compiler_s_layouts():
    shapes = {"kernel": jnp.zeros((3, 3, 4, 8))}
    shardings = {"kernel": jax.sharding.SingleDeviceSharding(jax.devices()[0])}
    assert all(state_formats(shardings, shapes, platform) == shardings for platform in ("cpu", "tpu"))
