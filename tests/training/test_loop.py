"""The loop learns, resumes bit for bit, does not depend on the number of devices, and stops cleanly."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.metrics.paired import psnr
from i2v_jax.metrics.registry import METRICS
from i2v_jax.training.checkpoint import Checkpointer, save_imported
from i2v_jax.training.events import read_events
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.saved_networks import averaged_variables, load_networks
from i2v_jax.training.watch import NonFiniteError
from i2v_jax.training.writers import MetricWriter, read_metrics, series, write_curves
from tests.metrics.stand_ins import SquaredError, in_place_of
from tests.training.tiny import MeanColor, tiny_config, tiny_trainer


def saved(folder):
    return load_networks(folder)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_learns_logs_and_keeps_the_latest_and_the_best(tmp_path):
    assert tiny_trainer(tmp_path, 12).run()
    lines = read_metrics(tmp_path)
    errors = [line["eval/error"] for line in lines if "eval/error" in line]
    assert errors[-1] < errors[0]
    assert {"error", "gradient_norm/predictor"} <= lines[0].keys()
    assert [line["step"] for line in lines if "scale" in line] == [3, 5, 7, 9, 11]
    assert [line["step"] for line in lines if "error" in line] == list(range(1, 13))
    measured = [line for line in lines if "system/step_seconds" in line]
    assert measured[-1]["step"] == 12 and all(line["system/step_seconds"] > 0 for line in measured)
    assert [line["step"] for line in measured if "system/save_seconds" in line] == [3, 6, 9, 12]
    assert [line["step"] for line in measured if "system/preview_seconds" in line] == [4, 8, 12]
    assert (tmp_path / "previews" / "0000012.png").is_file()
    assert (tmp_path / "previews" / "0000012.mp4").is_file()
    steps = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit())
    best = 3 * (1 + int(np.argmin(errors)))
    assert steps == sorted({9, 12, best})
    assert any(path.name.startswith("events.out") for path in tmp_path.iterdir())


class Brightening(MeanColor):
    """A task whose "samples" are the truth made brighter, least in the middle of training."""

    preview_rows = ("truth", "sample")

    def preview(self, networks, batch, rng):
        return batch["video"], 0.5 * batch["video"] + 0.1 * networks["predictor"]["params"]["bias"]


@pytest.mark.parametrize(("metric", "pick"), [("psnr", np.argmax), ("lpips", np.argmin)])
def test_keeps_the_best_by_a_metric_of_samples(tmp_path, monkeypatch, metric, pick):
    monkeypatch.setitem(METRICS, "lpips", in_place_of("lpips", SquaredError))
    config = tiny_config(evaluate_metric=metric, keep=1)
    assert tiny_trainer(tmp_path, 12, task=Brightening(), config=config).run()
    values = [line[f"eval/{metric}"] for line in read_metrics(tmp_path) if f"eval/{metric}" in line]
    assert len(set(values)) == len(values) == 4
    steps = {int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()}
    assert steps == {12, 3 * (1 + int(pick(values)))}


def test_the_metric_of_samples_is_that_of_all_held_out_clips(tmp_path):
    config = tiny_config(evaluate_metric="psnr")
    config.train.ema = 0.0
    trainer = tiny_trainer(tmp_path, 3, task=Brightening(), config=config)
    assert trainer.run()
    (logged,) = [line["eval/psnr"] for line in read_metrics(tmp_path) if "eval/psnr" in line]
    bias = saved(tmp_path)["params"]["predictor"]["bias"]
    pipeline = make_pipeline(open_split(config.data, "eval"), config.data, batch_size=10, seed=0, train=False)
    video = next(pipeline.iterator())["video"]
    assert len(video) == 10
    assert logged == pytest.approx(float(jnp.mean(psnr(video[:, 1:], 0.5 * video[:, 1:] + 0.1 * bias))), rel=1e-5)


def test_a_stage_whose_clips_do_not_fit_the_metric_keeps_its_own(tmp_path, capsys):
    assert tiny_trainer(tmp_path, 3, task=Brightening(), config=tiny_config(evaluate_metric="fvd")).run()
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "fvd" in line)
    assert "by error" in line


@pytest.mark.parametrize("metric", ["diversity_i3d", "log_likelihood", "kvd"])
def test_a_metric_that_samples_cannot_have(tmp_path, metric):
    config = tiny_config(evaluate_metric=metric)
    config.data.frames = 16
    with pytest.raises(UserError) as raised:
        tiny_trainer(tmp_path, 3, task=Brightening(), config=config)
    assert raised.value.value == metric


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    tiny_trainer(tmp_path / "whole", 7).run()
    tiny_trainer(tmp_path / "parts", 3).run()
    tiny_trainer(tmp_path / "parts", 7).run()
    assert_same(saved(tmp_path / "whole"), saved(tmp_path / "parts"))
    steps = [line["step"] for line in read_metrics(tmp_path / "parts") if "error" in line]
    assert steps == sorted(set(steps))
    events = [(event["event"], event["step"]) for event in read_events(tmp_path / "parts")]
    assert events == [("started", 0), ("finished", 3), ("continued", 3), ("finished", 7)]


def test_regular_steps_transfer_nothing_implicitly(tmp_path, monkeypatch):
    """Under the guard a batch must be placed explicitly, and anything else must be on the devices already."""

    def allowed(function):
        def call(*args):
            with jax.transfer_guard("allow"):
                return function(*args)

        return call

    trainer = tiny_trainer(tmp_path, 7)
    for name in ("_run_evaluation", "_write_preview", "compiled_step"):  # what is not done at every step
        monkeypatch.setattr(trainer, name, allowed(getattr(trainer, name)))
    monkeypatch.setattr(trainer._checkpointer, "save", allowed(trainer._checkpointer.save))
    state, iterator = trainer.restore_or_init()
    with jax.transfer_guard("disallow"):
        with pytest.raises(jax.errors.JaxRuntimeError):
            jax.jit(jnp.sum)(np.ones(3))  # the guard is at work
        assert trainer._loop(state, iterator, None)
    iterator.close()
    trainer.close()
    assert int(saved(tmp_path)["step"]) == 7


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
    assert int(saved(tmp_path)["step"]) == 3


def test_imported_networks_of_another_configuration(tmp_path):
    wrong = {"kernel": np.zeros((5, 3), np.float32), "bias": np.zeros(3, np.float32)}
    save_imported(tmp_path, {"predictor": {"params": wrong}}, tiny_config())
    with pytest.raises(UserError) as raised:
        tiny_trainer(tmp_path, 3).run()
    assert raised.value.field == "config"


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
    one, many = saved(tmp_path / "one"), saved(tmp_path / "many")
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
    whole, parts = saved(tmp_path / "whole"), saved(tmp_path / "parts")
    # As for several devices: float32 sums in another order, and what five Adam steps of 1e-2 make of them.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), whole["params"], parts["params"])


@pytest.mark.parametrize("mesh", [{"fsdp": 8}, MESHES["all"]], ids=["fsdp", "all"])
def test_checkpoint_moves_between_meshes(tmp_path, mesh):
    config = tiny_config()
    config.mesh.update(fsdp_min_size=1, **mesh)
    trainer = tiny_trainer(tmp_path, 3, devices=8, config=config)
    trainer.run()
    before, (state, _) = saved(tmp_path), tiny_trainer(tmp_path, 3, devices=8, config=config).restore_or_init()
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
        (batch,) = trainer._evaluation_batches(1)
        (row,) = trainer._preview(state, trainer.frozen, batch, jax.random.key(0))
        trainer.close()
        assert row.shape[0] == 2
        np.testing.assert_array_equal(row, batch["video"][:2])
    assert seen == [2, 4]


def test_sampling_uses_the_averaged_parameters(tmp_path):
    tiny_trainer(tmp_path, 5).run()
    networks = saved(tmp_path)
    assert networks["ema"].keys() == {"predictor"}
    averaged = averaged_variables(networks)
    assert_same(averaged["predictor"]["params"], networks["ema"]["predictor"])
    assert_same(averaged["scale"]["params"], networks["params"]["scale"])
    assert not np.array_equal(networks["ema"]["predictor"]["kernel"], networks["params"]["predictor"]["kernel"])


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path):
    with pytest.raises(NonFiniteError) as raised:
        tiny_trainer(tmp_path, 12, task=MeanColor(not_a_number_at=4)).run()
    assert raised.value.field == "error" and np.isnan(raised.value.value)
    assert saved(tmp_path)["step"] == 3  # the last good checkpoint
    assert read_events(tmp_path)[-1]["event"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_stops(tmp_path, number):
    with Interruption() as interruption:
        trainer = tiny_trainer(tmp_path, 50, interruption=interruption)
        evaluate = trainer._run_evaluation
        trainer._run_evaluation = lambda *args: (os.kill(os.getpid(), number), evaluate(*args))[1]
        assert not trainer.run()
    stopped = int(saved(tmp_path)["step"])
    assert 3 <= stopped < 50
    assert (read_events(tmp_path)[-1]["event"], read_events(tmp_path)[-1]["step"]) == ("stopped", stopped)
    tiny_trainer(tmp_path / "whole", stopped + 2).run()
    tiny_trainer(tmp_path, stopped + 2).run()
    assert_same(saved(tmp_path / "whole")["params"], saved(tmp_path)["params"])


def test_half_written_checkpoint_is_never_restored(tmp_path):
    tiny_trainer(tmp_path, 6).run()
    half = tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp"
    (half / "networks").mkdir(parents=True)
    assert saved(tmp_path)["step"] == 6
    assert tiny_trainer(tmp_path, 7).run()
    assert not half.exists()


def test_damaged_checkpoint_is_one_clear_line(tmp_path):
    tiny_trainer(tmp_path, 3).run()
    for path in (tmp_path / "checkpoints" / "3" / "networks").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    for use in (tiny_trainer(tmp_path, 4).run, lambda: saved(tmp_path)):
        with pytest.raises(UserError) as raised:
            use()
        assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path / "checkpoints" / "3"))


def test_a_whole_checkpoint_of_another_configuration_is_not_called_damaged(tmp_path):
    tiny_trainer(tmp_path, 3).run()
    with pytest.raises(UserError) as raised:
        tiny_trainer(tmp_path, 4, config=tiny_config(ema=0.0)).run()
    assert raised.value.field == "config" and "ema/predictor/bias" in raised.value.value
    assert saved(tmp_path)["step"] == 3


def test_a_full_disk_while_logging_is_one_clear_line(tmp_path):
    """A file whose write failed fails again when it is closed."""
    with MetricWriter(tmp_path, 3) as writer:
        writer._file.close()
        writer._file._file = open("/dev/full", "w")  # noqa: SIM115
        with pytest.raises(UserError) as raised:
            writer.write(4, {"error": 0.5})
        assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path))
    with MetricWriter(tmp_path, 3) as writer:
        writer._events = full
        with pytest.raises(UserError) as raised:
            writer.write(4, {"error": 0.5})
        assert (raised.value.field, raised.value.value) == ("workdir", str(tmp_path))
    assert read_metrics(tmp_path)[-1]["step"] == 4


def full(*_):
    with open("/dev/full", "w") as file:
        file.write("event")


def test_what_is_not_a_number_is_null_in_the_log(tmp_path):
    with MetricWriter(tmp_path, 0) as writer:
        writer.write(1, {"psnr": float("inf"), "error": float("nan"), "l1": 0.25}, prefix="eval/")
    (text,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    line = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (line["eval/psnr"], line["eval/error"], line["eval/l1"]) == (None, None, 0.25)
    write_curves(tmp_path)
    assert [path.name for path in (tmp_path / "curves").iterdir()] == ["l1.png"]
    assert series(read_metrics(tmp_path), "eval/psnr") == []


def test_the_best_checkpoint_is_of_the_step_that_was_evaluated(tmp_path):
    """Evaluations between regular checkpoints save a checkpoint if they are the best so far, with their own metrics."""
    config = tiny_config(keep=1)
    config.train.update(evaluate_every=2, checkpoint_every=5)
    trainer = tiny_trainer(tmp_path, 11, config=config)
    errors = iter([5.0, 3.0, 4.0, 1.0, 2.0, 9.0])
    evaluate = trainer._run_evaluation
    trainer._run_evaluation = lambda *args: {**evaluate(*args), "error": next(errors)}
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
    save_imported(tmp_path, {"predictor": {"params": {"bias": np.zeros(3, np.float32)}}}, tiny_config())
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
    assert saved(tmp_path)["step"] == 3


def test_metrics_survive_a_line_cut_short(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "error": 0.5}) + '\n{"step": 2, "er')
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_batch_that_does_not_divide_is_one_clear_line(tmp_path):
    with pytest.raises(UserError) as raised:
        tiny_trainer(tmp_path, 1, devices=3)
    assert raised.value.field.endswith(".batch_size") and raised.value.value == 8
