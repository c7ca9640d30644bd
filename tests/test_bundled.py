"""The models that come with the package."""

import jax
import numpy as np
import pytest

from i2v_jax import bundle
from i2v_jax.configs import plants, sky
from i2v_jax.evaluation import poke_measurements, poked_clips, sky_measurements
from i2v_jax.sampling.load import load_generator
from i2v_jax.workdir import differences, read_workdir

CONFIGS = {"plants": plants, "sky": sky}
LARGEST = 12e6  # bytes of all of them


def test_there_are_these_and_they_are_small():
    assert bundle.bundled_names() == sorted(CONFIGS)
    assert sum(bundle.located(f"bundled:{name}").stat().st_size for name in CONFIGS) < LARGEST


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bundled_model_was_trained_to_the_end_as_its_configuration_says(name):
    path, config = f"bundled:{name}", CONFIGS[name].get_config("bundled")
    assert differences(read_workdir(path), config) == {}
    card, last = bundle.read_card(path), config.stages[-1]
    assert card.name == name and card.step == config[last].steps
    assert any(f"{name}:bundled" in command for command in card.commands)
    assert card.license == "MIT" and card.psnr > 40 and card.numbers["clips"] == 64


def test_clouds_of_the_bundled_sky_drift_where_they_are_told_to():
    requested = np.array([5.0, 185.0])
    clips = sky_measurements.held_out(len(requested), 64)
    start, control = clips.video[:, 0], sky_measurements.encode_directions(requested)
    videos = load_generator("bundled:sky").generate(start, jax.random.key(0), 1, control=control)[:, 0]
    seen = sky_measurements.seen_directions(start, videos, clips.mask)
    assert sky_measurements.angular_errors(requested, seen).max() < 30


def test_points_of_the_bundled_plants_move_where_they_are_pulled_to():
    clips = poked_clips.held_out(read_workdir("bundled:plants").data, 4)
    measured = poke_measurements.measure(load_generator("bundled:plants"), clips)
    assert measured.numbers["target_error_model"] < measured.numbers["target_error_still"] / 3
