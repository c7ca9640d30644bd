"""The loop learns, logs, resumes bit for bit, and stops cleanly."""

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
from i2v_jax.metrics.frechet_metrics import FrechetMetric
from i2v_jax.metrics.paired import psnr
from i2v_jax.metrics.registry import METRICS
from i2v_jax.training.events import read_events
from i2v_jax.training.interrupt import Interruption
from i2v_jax.training.sample_metric import SampleMetric
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.watch import NonFiniteError
from i2v_jax.training.writers import MetricWriter, read_metrics, series, write_curves
from tests.metrics.stand_ins import NoWeights, SquaredError, in_place_of
from tests.training.tiny import MeanColor, assert_same, tiny_config, tiny_trainer


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


def test_evaluation_once_per_epoch(tmp_path):
    config = tiny_config()
    config.train.evaluate_every = 0
    tiny_trainer(tmp_path, 7, config=config).run()
    steps = [line["step"] for line in read_metrics(tmp_path) if "eval/error" in line]
    assert steps == [3, 6, 7]  # an epoch has three steps; and at the end


def test_the_metric_of_samples_is_that_of_all_held_out_clips(tmp_path):
    config = tiny_config(evaluate_metric="psnr")
    config.train.ema = 0.0
    trainer = tiny_trainer(tmp_path, 3, task=Brightening(), config=config)
    assert trainer.run()
    (logged,) = [line["eval/psnr"] for line in read_metrics(tmp_path) if "eval/psnr" in line]
    bias = load_networks(tmp_path)["params"]["predictor"]["bias"]
    pipeline = make_pipeline(open_split(config.data, "eval"), config.data, batch_size=10, seed=0, train=False)
    video = next(pipeline.iterator())["video"]
    assert len(video) == 10
    assert logged == pytest.approx(float(jnp.mean(psnr(video[:, 1:], 0.5 * video[:, 1:] + 0.1 * bias))), rel=1e-5)


@pytest.mark.parametrize(("metric", "frames"), [("fvd", 10), ("dtfvd_16_release", 17), ("pfvd", 17)])
def test_sets_of_clips_are_compared_without_the_start_frame(monkeypatch, metric, frames):
    """As the release compares reconstructions: 16 of 17 frames, which is all that DTFVD's network takes."""
    monkeypatch.setitem(METRICS, metric, in_place_of(metric, Brightnesses))
    video = jnp.arange(frames, dtype=jnp.float32)[None, :, None, None, None] * jnp.ones((2, 1, 4, 4, 3))
    task = Brightening()
    assert SampleMetric.fits(metric, task, {"video": video})
    networks = {"predictor": {"params": {"bias": jnp.zeros(())}}}
    real, made = SampleMetric(metric, task).features({}, networks, {"video": video}, jax.random.key(0))
    assert real[0].tolist() == list(range(1, frames))
    assert made[0].tolist() == [frame / 2 for frame in range(1, frames)]


class Brightnesses(NoWeights, FrechetMetric):
    """The mean of each frame."""

    def extract(self, variables, *videos):
        return videos[0].mean((2, 3, 4))


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
    assert_same(load_networks(tmp_path / "whole"), load_networks(tmp_path / "parts"))
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
    held_out, checkpointer = trainer._held_out, trainer._checkpointer
    rarely = ((trainer, "compiled_step"), (held_out, "evaluate"), (held_out, "write_preview"), (checkpointer, "save"))
    for part, name in rarely:  # what is not done at every step
        monkeypatch.setattr(part, name, allowed(getattr(part, name)))
    state, iterator = trainer.restore_or_init()
    with jax.transfer_guard("disallow"):
        with pytest.raises(jax.errors.JaxRuntimeError):
            jax.jit(jnp.sum)(np.ones(3))  # the guard is at work
        assert trainer._loop(state, iterator, None)
    iterator.close()
    trainer.close()
    assert int(load_networks(tmp_path)["step"]) == 7


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path):
    with pytest.raises(NonFiniteError) as raised:
        tiny_trainer(tmp_path, 12, task=MeanColor(not_a_number_at=4)).run()
    assert raised.value.field == "error" and np.isnan(raised.value.value)
    assert load_networks(tmp_path)["step"] == 3  # the last good checkpoint
    assert read_events(tmp_path)[-1]["event"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_stops(tmp_path, number):
    with Interruption() as interruption:
        trainer = tiny_trainer(tmp_path, 50, interruption=interruption)
        evaluate = trainer._held_out.evaluate
        trainer._held_out.evaluate = lambda *args: (os.kill(os.getpid(), number), evaluate(*args))[1]
        assert not trainer.run()
    stopped = int(load_networks(tmp_path)["step"])
    assert 3 <= stopped < 50
    assert (read_events(tmp_path)[-1]["event"], read_events(tmp_path)[-1]["step"]) == ("stopped", stopped)
    tiny_trainer(tmp_path / "whole", stopped + 2).run()
    tiny_trainer(tmp_path, stopped + 2).run()
    assert_same(load_networks(tmp_path / "whole")["params"], load_networks(tmp_path)["params"])


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


def test_metrics_survive_a_line_cut_short(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "error": 0.5}) + '\n{"step": 2, "er')
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]
