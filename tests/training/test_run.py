"""The stages of a run are trained in order, and a signal stops the run at any time."""

import itertools
import os
import queue
import shlex
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.configs import plants, sky
from i2v_jax.data.registry import open_split
from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.tasks.flow import Encoded
from i2v_jax.training import held_out, interrupt, latents, loop, run
from i2v_jax.training.interrupt import INTERRUPTED, Interruption
from tests.compiling import HANG
from tests.training.tiny import MeanColor, tiny_config


def two_stages():
    config = tiny_config()
    config.data.size = 32
    config.image_ae.loss.perceptual_network = "laplacian"
    config.stages = ("video_vae", "image_ae")
    for stage in config.stages:
        config[stage].update(batch_size=8, steps=3)
    return config


@pytest.fixture(autouse=True)
def tiny_tasks(monkeypatch):
    monkeypatch.setattr(run, "make_task", lambda *_: MeanColor())
    open_clips = run._open_clips
    monkeypatch.setattr(run, "_open_clips", lambda config, _: open_clips(config, "video_vae"))


def steps(folder, stage):
    return sorted(int(path.name) for path in (folder / stage / "checkpoints").glob("[0-9]*"))


def tell(number):
    os.kill(os.getpid(), number)


@pytest.fixture
def ended(monkeypatch):
    """The status with which an interruption would have ended this process, once it would."""
    statuses = queue.Queue()
    monkeypatch.setattr(interrupt.os, "_exit", statuses.put)
    return statuses


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_the_last_step_of_a_stage_is_heard_before_the_next(tmp_path, monkeypatch, capsys, ended, number):
    preview = held_out.HeldOut.write_preview

    def last_step(self, state, step):
        if step == 3:
            tell(number)
        preview(self, state, step)

    with monkeypatch.context() as patched, Interruption() as interruption:
        patched.setattr(held_out.HeldOut, "write_preview", last_step)
        assert not run.train_stages(two_stages(), tmp_path, interruption)
    assert ended.get_nowait() == INTERRUPTED
    assert steps(tmp_path, "video_vae") == [3]
    assert not (tmp_path / "image_ae").exists()
    log = capsys.readouterr().out.splitlines()
    assert any(line.startswith(signal.Signals(number).name) for line in log)
    assert not any("saved" in line for line in log)  # the stage ended as it would have
    assert run.train_stages(two_stages(), tmp_path)
    assert steps(tmp_path, "image_ae") == [3]
    log = capsys.readouterr().out.splitlines()
    assert any(line.startswith("video_vae: ") and "3 of 3" in line for line in log)
    (line,) = (line for line in log if "image_ae.loss.perceptual_network=lpips" in line)
    assert line.startswith("image_ae: ") and "laplacian" in line


def test_a_signal_while_the_last_checkpoint_is_written_does_not_interrupt_it(tmp_path, monkeypatch, ended):
    close = loop.Trainer.close
    monkeypatch.setattr(loop.Trainer, "close", lambda self: (tell(signal.SIGTERM), close(self)))
    with Interruption() as interruption:
        assert not run.train_stages(two_stages(), tmp_path, interruption)
    assert ended.get_nowait() == INTERRUPTED
    assert steps(tmp_path, "video_vae") == [3]


def test_a_signal_before_the_first_step_ends_the_process_at_once(tmp_path, monkeypatch, capsys, ended):
    def end_while_compiling(*_):
        tell(signal.SIGTERM)
        assert ended.get(timeout=HANG) == INTERRUPTED  # the thread would end the process here
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, Interruption() as interruption:
        patched.setattr(loop.Trainer, "compiled_step", end_while_compiling)
        with pytest.raises(KeyboardInterrupt):
            run.train_stages(two_stages(), tmp_path, interruption)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert "saved" not in capsys.readouterr().out and not steps(tmp_path, "video_vae")
    assert run.train_stages(two_stages(), tmp_path)
    assert steps(tmp_path, "image_ae") == [3]


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "clips", "expected"), [(64, 1, 16, 16), (64, 1, 9, 16), (64, 2, 0, 32), (8, 1, 64, 8)]
)
def test_held_out_clips_come_in_batches_as_large_as_needed(batch_size, accumulate, clips, expected):
    """There are eight devices."""
    config = two_stages()
    config.train.evaluate_clips = clips
    config.video_vae.update(batch_size=batch_size, accumulate=accumulate)
    config.data.num_clips.update(train=64, eval=64)
    train, evaluation, _ = run._open_clips(config, "video_vae")
    assert (train.global_batch_size, evaluation.global_batch_size) == (batch_size, expected)


class _Encoders:
    """A stand-in for the flow's task: the "posterior" of a clip is computed from its colors."""

    kept_arrays, frozen = ("direction",), {"scale": jnp.float32(2.0)}

    def encode(self, frozen, batch):
        video = batch["video"]
        mean = frozen["scale"] * jnp.mean(video[:, 1:], axis=(1, 2, 3))
        return Encoded(mean, jnp.log(1 + mean**2), jnp.mean(video[:, 0], axis=(1, 2)))


def clips(count):
    data = two_stages().data
    data.num_clips.train = count
    return make_pipeline(open_split(data, "train"), data, batch_size=8, seed=3, train=True)


@pytest.mark.parametrize("devices", [1, 8])
def test_encoding_once_is_encoding_each_clip(devices):
    """Every clip is encoded, also those that do not fill a batch, of which each epoch drops others."""
    task, names, count = _Encoders(), ("mean", "logvar", "embedding"), 27
    mesh = make_mesh(two_stages().mesh, jax.devices()[:devices])
    encoded, source = latents.encoded_pipeline(task, clips(count), mesh, seed=3), clips(count).keep_last().iterator()
    expected = []
    for batch in itertools.islice(source, 4):
        parts = jax.device_get(task.encode(task.frozen, {"video": batch["video"]}))
        expected.append({**{name: getattr(parts, name) for name in names}, "direction": batch["direction"]})
    known = {name: np.concatenate([part[name] for part in expected])[:count] for name in expected[0]}
    assert (encoded.steps_per_epoch, encoded.num_clips) == (3, count)
    clips_seen = []
    for batch in itertools.islice(encoded.iterator(), 3 * 5):
        distances = np.abs(batch["embedding"][:, None] - known["embedding"]).sum(axis=-1)
        which = np.argmin(distances, axis=1)
        clips_seen += [*which]
        for name in names:
            np.testing.assert_allclose(batch[name], known[name][which], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(batch["direction"], known["direction"][which])
    assert len(set(clips_seen[:24])) == 24 and set(clips_seen) == set(range(count))


@pytest.mark.parametrize(
    ("module", "argument", "flags"),
    [
        (sky, "demo,runlocal", {"--image", "--out"}),
        (plants, "demo,runlocal", {"--image", "--poke", "--out"}),
        (plants, "model=cinn,demo,runlocal", {"--image", "--poke", "--out"}),
        (sky, "demo,runlocal,stage=image_ae", set()),
    ],
)
def test_the_next_command_samples_from_what_was_trained(module, argument, flags):
    words = shlex.split(run.next_command(module.get_config(argument), "my run"))
    assert {word.split("=")[0] for word in words if word.startswith("--")} - {"--workdir"} == flags
    assert not words or "--workdir=my run" in words
