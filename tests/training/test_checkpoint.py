"""Checkpoints are complete or not there, are told apart, and are those that were asked for."""

import time

import jax
import numpy as np
import pytest

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.training.checkpoint import Checkpointer, save_imported
from i2v_jax.training.integrity import damage
from i2v_jax.training.saved_networks import averaged_variables, load_networks, saved_steps
from i2v_jax.training.writers import read_metrics
from tests.training.tiny import assert_same, tiny_config, tiny_trainer


def test_training_starts_from_imported_networks(tmp_path, capsys):
    """The optimizer, the averages and the networks without a file start anew."""
    imported = {"kernel": np.full((16 * 16 * 3, 3), 1e-3, np.float32), "bias": np.arange(3, dtype=np.float32)}
    save_imported(tmp_path, {"predictor": {"params": imported}}, tiny_config())
    trainer = tiny_trainer(tmp_path, 3)
    state, iterator = trainer.restore_or_init()
    iterator.close()
    assert int(state.step) == 0 and set(state.params) == {"predictor", "scale"}
    assert_same(jax.device_get([state.params["predictor"], state.ema["predictor"]]), [imported, imported])
    assert trainer.run()
    assert "video_vae: starting from the imported predictor" in capsys.readouterr().out
    assert int(load_networks(tmp_path)["step"]) == 3


def test_imported_networks_of_another_configuration(tmp_path):
    wrong = {"kernel": np.zeros((5, 3), np.float32), "bias": np.zeros(3, np.float32)}
    save_imported(tmp_path, {"predictor": {"params": wrong}}, tiny_config())
    with pytest.raises(UserError) as raised:
        tiny_trainer(tmp_path, 3).run()
    assert raised.value.field == "config"


def test_sampling_uses_the_averaged_parameters(tmp_path):
    tiny_trainer(tmp_path, 5).run()
    networks = load_networks(tmp_path)
    assert networks["ema"].keys() == {"predictor"}
    averaged = averaged_variables(networks)
    assert_same(averaged["predictor"]["params"], networks["ema"]["predictor"])
    assert_same(averaged["scale"]["params"], networks["params"]["scale"])
    assert not np.array_equal(networks["ema"]["predictor"]["kernel"], networks["params"]["predictor"]["kernel"])


def test_half_written_checkpoint_is_never_restored(tmp_path):
    tiny_trainer(tmp_path, 6).run()
    half = tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp"
    (half / "networks").mkdir(parents=True)
    assert load_networks(tmp_path)["step"] == 6
    assert tiny_trainer(tmp_path, 7).run()
    assert not half.exists()


def test_damaged_checkpoint_is_one_clear_line(tmp_path):
    tiny_trainer(tmp_path, 3).run()
    for path in (tmp_path / "checkpoints" / "3" / "networks").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    for use in (tiny_trainer(tmp_path, 4).run, lambda: load_networks(tmp_path)):
        with pytest.raises(UserError) as raised:
            use()
        assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path / "checkpoints" / "3"))


def test_a_whole_checkpoint_of_another_configuration_is_not_called_damaged(tmp_path):
    tiny_trainer(tmp_path, 3).run()
    with pytest.raises(UserError) as raised:
        tiny_trainer(tmp_path, 4, config=tiny_config(ema=0.0)).run()
    assert raised.value.field == "config" and "ema/predictor/bias" in raised.value.value
    assert load_networks(tmp_path)["step"] == 3


def test_the_best_checkpoint_is_of_the_step_that_was_evaluated(tmp_path):
    """Evaluations between regular checkpoints save a checkpoint if they are the best so far, with their own metrics."""
    config = tiny_config(keep=1)
    config.train.update(evaluate_every=2, checkpoint_every=5)
    trainer = tiny_trainer(tmp_path, 11, config=config)
    errors = iter([5.0, 3.0, 4.0, 1.0, 2.0, 9.0])
    evaluate = trainer._held_out.evaluate
    trainer._held_out.evaluate = lambda *args: {**evaluate(*args), "error": next(errors)}
    assert trainer.run()
    with pytest.raises(UserError) as raised:
        load_networks(tmp_path, step=5)
    assert (raised.value.field, raised.value.value) == ("checkpoint", 5)
    assert load_networks(tmp_path, step="best")["step"] == load_networks(tmp_path, step=8)["step"] == 8
    assert load_networks(tmp_path)["step"] == load_networks(tmp_path, step="latest")["step"] == 11
    resumed = tiny_trainer(tmp_path, 12, config=config)
    assert not resumed._checkpointer.is_best({"error": 1.5})
    assert resumed._checkpointer.is_best({"error": 0.5})
    assert not resumed._checkpointer.is_best({"error": float("nan")})
    resumed.close()


def test_the_best_of_checkpoints_that_were_not_evaluated(tmp_path):
    """An imported one stands for its training, which somebody else has judged."""
    save_imported(tmp_path, {"predictor": {"params": {"bias": np.zeros(3, np.float32)}}}, tiny_config())
    assert load_networks(tmp_path, step="best")["step"] == 0
    (tmp_path / "checkpoints" / "0").rename(tmp_path / "checkpoints" / "3")
    with pytest.raises(UserError) as raised:
        load_networks(tmp_path, step="best")
    assert (raised.value.field, raised.value.value) == ("checkpoint", "best")


def test_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path, 6)
    save = Checkpointer.save

    def full(self, state, *args):
        if int(state.step) == 6:
            monkeypatch.setattr(self._manager, "save", no_space)
        save(self, state, *args)

    def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpointer, "save", full)
    with pytest.raises(UserError) as raised:
        trainer.run()
    assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path / "checkpoints"))
    assert load_networks(tmp_path)["step"] == 3


def test_a_save_that_fails_in_the_background_is_noticed_without_the_next_one(tmp_path, monkeypatch):
    def no_space(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpointer, "_before_commit", no_space)
    trainer = tiny_trainer(tmp_path, 6)
    raise_failure = Checkpointer.raise_failure

    def after_the_save(self):
        while self.is_saving():
            time.sleep(0.01)
        raise_failure(self)

    monkeypatch.setattr(Checkpointer, "raise_failure", after_the_save)
    with pytest.raises(UserError) as raised:
        trainer.run()
    assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path / "checkpoints"))
    assert max(line["step"] for line in read_metrics(tmp_path)) == 3


def test_a_checkpoint_that_is_removed_by_half_is_not_among_the_others(tmp_path, monkeypatch):
    root = tmp_path / "checkpoints"

    def remove_half(folder):
        paths = [path for path in folder.rglob("*") if path.is_file()]
        for path in paths[::2]:
            path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(files, "remove_folder", remove_half)
        tiny_trainer(tmp_path, 12).run()
    assert any((root / "deleted").iterdir())
    assert not any(damage(root / str(step)) for step in saved_steps(tmp_path))
    tiny_trainer(tmp_path, 15).run()
    assert not (root / "deleted").exists() and saved_steps(tmp_path)[-1] == 15
