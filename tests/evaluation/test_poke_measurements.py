"""Measurements of a stand-in cINN that draws the true plants, moved by a known share of the poke."""

import dataclasses

import numpy as np
import pytest

from i2v_jax.data.plants.spec import PLANTS
from i2v_jax.errors import UserError
from i2v_jax.evaluation import poke_measurements
from i2v_jax.evaluation.poked_clips import held_out
from i2v_jax.input.procedural import plants
from i2v_jax.sampling.cinn import CinnGenerator
from tests.reports.test_plants_demo import COUNT, SHORT, SIZE, data_of_plants
from tests.reports.test_plants_demo import oracle as deterministic
from tests.sampling import stand_ins

SHARES = (0.5, 1.5)  # of the displacement, of the two samples of a poke


class Oracle(CinnGenerator):
    """Recognizes the scenes by their start frames, and reads the pokes from their encoding."""

    def generate(self, start_frames, rng, num_samples, *, frames=16, control=None, **_):
        known = held_out(data_of_plants(), COUNT).video[:, 0]
        nodes = np.arange(8) * SIZE / 7
        answers = []
        for frame, eta in zip(start_frames, np.asarray(control).reshape(-1, 8, 8, 3), strict=True):
            index = int(np.abs(known - frame).mean(axis=(1, 2, 3)).argmin())
            position = (eta[..., 0].sum(axis=0) @ nodes - 0.5, eta[..., 0].sum(axis=1) @ nodes - 0.5)
            pull = eta[..., 1:].sum(axis=(0, 1)) * SIZE / 7
            times = plants.clip_times(1 + frames)[1:]
            answers.append([
                plants.respond("test", index, position, tuple(share * pull), size=SIZE, times=times)
                for share in SHARES[:num_samples]
            ])  # fmt: skip
        return np.array(answers, np.float32) / 127.5 - 1

    def reconstruct(self, video):
        return video[:, 1:]


@pytest.fixture(scope="module")
def oracle() -> CinnGenerator:
    base = stand_ins.generator("poke")
    fields = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    return Oracle(**{**fields, "size": SIZE})


def _psnr(truth: np.ndarray, video: np.ndarray) -> np.ndarray:
    return 10 * np.log10(4 / np.maximum(np.square(truth - video).mean(axis=(2, 3, 4)), 1e-6))


def test_samples_are_measured_next_to_the_deterministic_model(
    oracle: CinnGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poke_measurements, "_metrics", lambda: {"psnr_db": _psnr})  # nothing to compile
    beside = deterministic(SHORT)
    numbers = poke_measurements.measure_samples(oracle, data_of_plants(17), COUNT, samples=2, beside=beside).numbers
    lengths = np.hypot(*held_out(data_of_plants(), COUNT).displacement.T)
    assert numbers["target_error_still"] == pytest.approx(lengths.mean(), abs=1e-3)
    assert abs(numbers["target_error_model"] - 0.5 * lengths.mean()) < 0.8  # each sample is off by half
    assert abs(numbers["target_error_deterministic"] - SHORT * lengths.mean()) < 0.8
    assert numbers["target_error_reconstruction"] == numbers["target_error_truth"] < 0.1 * lengths.mean()
    assert numbers["samples"] == 2
    assert numbers["diversity_model"] > 1e-3
    assert numbers["diversity_truth"] == 0  # without a breeze a poke says it all
    assert 0.1 * lengths.mean() < numbers["diversity_motion_model"] < lengths.mean()
    assert numbers["diversity_deterministic"] == numbers["diversity_motion_deterministic"] == 0
    assert numbers["background_motion_model"] == numbers["background_motion_deterministic"] == 0
    assert numbers["psnr_db_reconstruction"] > numbers["psnr_db_model"] > numbers["psnr_db_translation"]


def test_equal_samples_have_no_diversity() -> None:
    rng = np.random.default_rng(0)
    start, answers = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((2, 32, 32, 3), (2, 1, 3, 32, 32, 3)))
    same = poke_measurements._diversity(start, np.repeat(answers, 3, axis=1), "model")
    assert same == pytest.approx({"diversity_model": 0, "diversity_motion_model": 0}, abs=1e-6)
    shifted = np.concatenate([answers, answers + 0.5], axis=1)
    assert poke_measurements._diversity(start, shifted, "model")["diversity_model"] == pytest.approx(0.25, rel=1e-5)


def test_true_answers_obey_the_poke_and_differ_elsewhere() -> None:
    clips = held_out(data_of_plants(breeze=0.5), COUNT)
    still = np.repeat(poke_measurements.true_answers(PLANTS, clips, data_of_plants(breeze=0.0), 1), 2, axis=1)
    windy = poke_measurements.true_answers(PLANTS, clips, data_of_plants(breeze=0.5), 4)
    assert poke_measurements._diversity(clips.video[:, 0], still, "truth")["diversity_motion_truth"] == 0
    assert poke_measurements._diversity(clips.video[:, 0], windy, "truth")["diversity_motion_truth"] > 0.2
    for answers in (still, windy):
        assert poke_measurements.target_error(clips, answers) < 0.25 * np.hypot(*clips.displacement.T).mean()


def test_models_of_two_sizes_are_not_compared(oracle: CinnGenerator) -> None:
    beside = dataclasses.replace(deterministic(SHORT), size=16)
    with pytest.raises(UserError) as raised:
        poke_measurements.measure_samples(oracle, data_of_plants(17), COUNT, beside=beside)
    assert (raised.value.field, raised.value.value) == ("beside", 16)
