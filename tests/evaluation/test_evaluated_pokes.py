"""Evaluation of models that are controlled by pokes: the pokes of clips, and the measurements of answers."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from i2v_jax.configs import plants as plants_config
from i2v_jax.errors import UserError
from i2v_jax.evaluation import results
from i2v_jax.evaluation.clips import open_clips
from i2v_jax.evaluation.evaluated_model import EvaluatedModel, load_evaluated_model
from i2v_jax.evaluation.measure import Request, measure
from i2v_jax.evaluation.nearest import nearest_training_clips
from i2v_jax.evaluation.protocols import get_protocol
from i2v_jax.input.procedural import plants
from i2v_jax.sampling.load import describe
from i2v_jax.tasks.control import POKE as POKE_CONTROL
from tests.reports.test_plants_demo import COUNT, SIZE, oracle
from tests.sampling.random_run import write_run
from tests.sampling.test_poke import stand_in

POKE = get_protocol("poke").of_whole_videos(frames=10)


def config_of_plants(arguments: str = f"size={SIZE}"):
    config = plants_config.get_config(arguments)
    config.data.num_clips.update(train=6, test=COUNT)
    return config


def model_of(share: float) -> EvaluatedModel:
    """Draws the scenes themselves, the poked plant pulled by `share` of the requested displacement."""
    mesh = jax.make_mesh((1,), ("clips",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    generator = dataclasses.replace(oracle(share), mesh=mesh)
    return EvaluatedModel(f"by {share}", generator, config_of_plants(), "ef" * 32, step=1)


def test_clips_carry_the_poke_that_is_in_them() -> None:
    data = config_of_plants().data
    clips = open_clips(data, POKE, "test").read(range(COUNT))
    for index in range(COUNT):
        x, y = clips["poke_position"][index]
        assert np.array_equal(clips["poke_displacement"][index], plants.plants_flow("test", index, SIZE)[y, x])
        assert np.hypot(*clips["poke_displacement"][index]) > 1.0
        assert np.array_equal(clips["poke"][index, y, x], clips["poke_displacement"][index])
    alone = open_clips(data, POKE, "test", limit=3).read([2])
    assert all(np.array_equal(alone[name][0], clips[name][2]) for name in clips)
    eta = POKE_CONTROL.from_batch(clips, SIZE)
    pokes = np.concatenate([clips["poke_position"], clips["poke_displacement"]], axis=-1)
    np.testing.assert_array_equal(eta, POKE_CONTROL.encode(pokes, SIZE))


def test_a_longer_clip_carries_the_poke_of_training() -> None:
    """A poke reaches its target after as many frames as in training, whatever the length of the clip."""
    data = config_of_plants().data
    usual = open_clips(data, POKE, "test")
    data.frames = 6
    shorter = open_clips(data, POKE, "test")
    half = usual.source.true_flow(usual.videos[usual.clip(1).video], 0, 5)
    row = shorter.read([1])
    x, y = row["poke_position"][0]
    assert row["video"].shape[1] == 11
    assert np.array_equal(row["poke_displacement"][0], half[y, x])


def test_the_scene_itself_is_best(tmp_path: pathlib.Path) -> None:
    request, values = Request(POKE, ("psnr", "ssim")), {}
    for share in (0.95, 0.2):
        model = model_of(share)
        measured = measure(model, request, tmp_path / str(share), batch_size=2)
        psnr, ssim = results.records(model, measured)
        values[share] = psnr.values[0], ssim.values[0]
        assert psnr.protocol.pairing == "aligned; conditioned on a true poke, from the exact flow over 10 frames"
        assert json.loads(psnr.protocol.pokes)["flow"] == "exact"
        assert (psnr.protocol.num_real, psnr.protocol.frames, len(psnr.curve)) == (COUNT, 10, 10)
    assert values[0.95] > values[0.2]
    assert psnr.protocol.data == "plants"
    model.config.data.breeze = 0.5
    windy = results.records(model, measure(model, request, tmp_path / "windy", batch_size=2))
    assert windy[0].protocol.data == "plants in a breeze of 0.5"
    assert values[0.95][0] > values[0.2][0] + 3.0


def test_a_place_that_does_not_move_is_answered_by_the_start_frame() -> None:
    clips = open_clips(config_of_plants().data, POKE, "test").read([0, 1])
    clips["poke_displacement"][1] = 0.0
    oracle = model_of(1.0)
    model = dataclasses.replace(oracle, generator=stand_in(size=SIZE, frames=10, mesh=oracle.mesh))
    videos = model.sample(clips, [0, 1], seed=0, samples=2, frames=10)
    assert videos.shape == (2, 2, 10, SIZE, SIZE, 3)
    assert np.array_equal(videos[:, 0], videos[:, 1])
    assert np.array_equal(videos[1, 0], np.repeat(clips["video"][1, :1], 10, axis=0))
    assert not np.array_equal(videos[0, 0, -1], clips["video"][0, 0])


def test_a_work_directory_of_a_poke_model(tmp_path: pathlib.Path) -> None:
    config = config_of_plants("demo,runlocal")
    config.data.num_clips.train = 6
    write_run(tmp_path, config)
    model = load_evaluated_model(tmp_path, batch_size=8)
    assert describe(model.config).pokes
    protocol = dataclasses.replace(POKE, frames=5)
    measured = measure(model, Request(protocol, ("psnr",)), tmp_path / "out", batch_size=8)
    (record,) = results.records(model, measured)
    assert np.isfinite(record.values).all()
    reader = open_clips(model.config.data, dataclasses.replace(protocol, clips=6), "train")
    clips = reader.read([4, 1])["video"]
    nearest = nearest_training_clips(model, clips, limit=6, batch_size=4)
    assert [nearest.reader.clip(number) for number in nearest.by_latent] == [reader.clip(4), reader.clip(1)]
    assert np.allclose(nearest.latent_distance, 0, atol=1e-3)
    with pytest.raises(UserError):
        measure(model, Request(protocol, ("log_likelihood",)), tmp_path / "out", batch_size=8)
