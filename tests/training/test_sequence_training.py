"""The sequence model is trained on clips of varying length with stored flow, and goes on bit for bit."""

import cv2
import jax
import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.data import flows
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.media import write_mp4
from i2v_jax.training import run
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.writers import read_metrics
from tests.training.tiny import assert_same

FIELDS = [
    *("data.frames=6", "data.poke.sequence.shortest=3", "data.poke.flow_frames=3"),
    *("data.poke.sequence.amplitude_cutoff=0.5", "data.poke.sequence.longest_weight=2"),
    *("data.poke.sequence.background_weight=2", "data.poke.min_motion=0", "poke.adversarial_step=99"),
    *("poke.loss.perceptual_network=charbonnier", "poke.loss.window=3", "poke.batch_size=2", "poke.steps=4"),
    *("poke.temporal_discriminator.width=8", "train.preview_every=100", "train.checkpoint_every=2"),
]


@pytest.fixture
def data_dir(tmp_path):
    """Four videos of 24 frames in which a square moves at two speeds, with their flow over three frames."""
    noise = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    texture = cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC)
    (tmp_path / "raw").mkdir()
    for video in range(4):
        frames = np.full((24, 64, 64, 3), 90, np.uint8)
        for index, frame in enumerate(frames):
            left = round(abs(((1 + 2 * (video % 2)) * index) % 64 - 32))
            frame[20:44, left : left + 24] = texture[:24, :24]
        write_mp4(tmp_path / "raw" / f"{video}.mp4", frames, fps=8)
    summary = prepare(
        Folder,
        tmp_path / "raw",
        tmp_path / "out",
        options=StoreOptions(max_size=32, min_frames=6),
        split_options=SplitOptions(0.25, 0.25, 0),
        workers=1,
    )
    for split in ("train", "eval", "test"):
        flows.store_flows(summary.folder, split, flows.FlowOptions(3, 32, 0.0), threads=2)
    flows.write_statistics(summary.folder, 3)
    return tmp_path / "out"


@pytest.fixture
def train(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "make_mesh", lambda config: make_mesh(config, jax.devices()[:1]))

    def train(name, *fields):
        """Returns the parameters, and the lines of the log that have losses."""
        config = load("folder:model=sequence,size=32,runlocal", [*FIELDS, f"data.dir={data_dir}", *fields])
        assert run.train_stages(config, tmp_path / name)
        lines = [line for line in read_metrics(tmp_path / name / "poke") if "loss" in line]
        assert all(np.isfinite(value) for line in lines for value in line.values())
        return load_networks(tmp_path / name / "poke")["params"], lines

    return train


@pytest.mark.slow
def test_a_sequence_model_learns_from_clips_of_several_lengths(train, capsys):
    _, lines = train("run")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    log = capsys.readouterr().out.splitlines()
    lengths = {int(line.split("for clips of ")[1].split()[0]) for line in log if "for clips of" in line}
    assert lengths == {4, 5}  # the longest clips, of 6 frames, come later
    assert sum("compiled static + dynamic" in line for line in log) == 2


@pytest.mark.long
def test_a_sequence_model_with_discriminators_goes_on_bit_for_bit(train):
    """Static updates stop after the first epoch, of three steps."""
    fields = ["poke.adversarial_step=1", "poke.static_epochs=1", "poke.batch_size=16", "poke.steps=4"]
    whole, lines = train("whole", *fields)
    assert ["static" in line for line in lines] == [True, True, True, False]
    assert ["discriminator_temporal" in line for line in lines] == [False, True, True, True]
    train("parts", *fields, "poke.steps=2")
    assert_same(train("parts", *fields)[0], whole)
