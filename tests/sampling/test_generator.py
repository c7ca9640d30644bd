"""The contract of generators, tested on one of each kind with untrained networks."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import pytest

from i2v_jax.configs import plants, sky
from i2v_jax.errors import UserError
from i2v_jax.sampling import generator as generators
from i2v_jax.sampling.generator import Generator, LatentGenerator
from i2v_jax.sampling.load import assemble
from tests.sampling.random_run import stage_variables

CONFIGS: dict[str, Callable] = {
    "cinn": lambda: sky.get_config("demo,runlocal"),
    "cinn with pokes": lambda: plants.get_config("model=cinn,demo,runlocal"),
    "poke": lambda: plants.get_config("demo,runlocal"),
}
KEY = jax.random.key(7)


@pytest.fixture(scope="module", params=list(CONFIGS))
def generator(request: pytest.FixtureRequest) -> Generator:
    config = CONFIGS[request.param]()
    return assemble(config, stage_variables(config), origin="random")


@pytest.fixture
def start_frames(generator: Generator) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, generator.size, generator.size, 3)).astype(np.float32)


@pytest.fixture
def control(generator: Generator) -> np.ndarray:
    if generator.describe().pokes:
        return generator.encode_pokes([[3, 4], [20, 9]], [[5, -2], [0, 4]])
    return np.eye(36, dtype=np.float32)[[3, 30]]


def test_videos_of_the_length_of_training(generator, start_frames, control) -> None:
    about = generator.describe()
    assert about.size == generator.size == start_frames.shape[1]
    videos = generator.generate(start_frames, KEY, 3, control=control)
    assert videos.shape == (2, 3, about.frames, about.size, about.size, 3)
    assert videos.dtype == np.float32 and np.abs(videos).max() <= 1
    assert (videos[:, 0] == videos[:, 1]).all() == about.deterministic
    fewer = generator.generate(start_frames, KEY, 2, control=control)
    np.testing.assert_allclose(fewer, videos[:, :2], atol=1e-4)  # other chunks round differently
    other = generator.generate(start_frames, jax.random.key(8), 3, control=control)
    assert (other == videos).all() == about.deterministic


def test_quick_programs_are_compiled_with_their_options(generator, start_frames, control, monkeypatch) -> None:
    """XLA refuses an option that it does not know; whole videos and streamed ones are compiled with it."""
    monkeypatch.setattr(generators, "quick_compilation", lambda: {"xla_of_no_version": 1})
    quick = dataclasses.replace(generator, quick=True)
    for call in (quick.generate, lambda *args, **options: list(quick.stream(*args, **options))):
        with pytest.raises(jax.errors.JaxRuntimeError):
            call(start_frames, KEY, 3, control=control)


def test_longer_videos_go_on_and_come_in_parts(generator, start_frames, control) -> None:
    frames = generator.describe().frames
    whole = generator.generate(start_frames, KEY, 2, control=control)
    longer = generator.generate(start_frames, KEY, 2, frames=frames + 2, control=control)
    assert longer.shape[2] == frames + 2
    np.testing.assert_allclose(longer[:, :, :frames], whole, atol=1e-4)
    parts = list(generator.stream(start_frames, KEY, 2, frames=frames + 2, control=control))
    assert len(parts) > 1
    np.testing.assert_allclose(np.concatenate(parts, axis=2), longer, atol=1e-4)
    short = generator.generate(start_frames, KEY, 2, frames=1, control=control)
    np.testing.assert_allclose(short, whole[:, :, :1], atol=1e-4)


def test_temperature_zero_is_one_video(generator, start_frames, control) -> None:
    videos = generator.generate(start_frames, KEY, 2, temperature=0.0, control=control)
    other = generator.generate(start_frames, jax.random.key(8), 2, temperature=0.0, control=control)
    np.testing.assert_array_equal(videos[:, 0], videos[:, 1])
    np.testing.assert_array_equal(videos, other)


def test_samples_belong_to_the_ids_of_start_frames(generator, start_frames, control) -> None:
    both = generator.generate(start_frames, KEY, 2, control=control, example_ids=[5, 2])
    second = generator.generate(start_frames[1:], KEY, 2, control=control[1:], example_ids=[2])
    np.testing.assert_allclose(second[0], both[1], atol=1e-4)


def test_the_pure_function_gives_the_same(generator, start_frames, control) -> None:
    frames = generator.describe().frames + 1
    function = jax.jit(generator.sampler(2, frames, temperature=0.5))
    expected = generator.generate(start_frames, KEY, 2, frames=frames, temperature=0.5, control=control)
    np.testing.assert_allclose(function(generator.variables, start_frames, KEY, control), expected, atol=1e-4)


def test_weights_are_placed_once(generator, start_frames, control) -> None:
    """Only the arguments are transferred, and explicitly."""
    assert generator.placed is generator.placed
    with jax.transfer_guard("disallow"):
        for _ in range(2):
            generator.generate(start_frames, KEY, 2, frames=generator.describe().frames + 1, control=control)
            list(generator.stream(start_frames, KEY, 2, control=control))
        clip = np.concatenate([start_frames[:, None]] * (1 + generator.describe().frames), axis=1)
        generator.clip_features(clip)
        if isinstance(generator, LatentGenerator):
            generator.transfer(generator.encode_motion(clip, control), start_frames, control)
            generator.log_likelihood(clip, KEY, control)
            if not generator.describe().pokes:
                generator.generate(start_frames, KEY, 2)


def test_a_latent_is_that_of_the_description(generator, start_frames, control) -> None:
    about = generator.describe()
    assert isinstance(generator, LatentGenerator) == bool(about.latent_dimensions)
    clip = np.concatenate([start_frames[:, None]] * (1 + about.frames), axis=1)
    if isinstance(generator, LatentGenerator):
        assert generator.encode_motion(clip, control).shape == (2, about.latent_dimensions)
        assert generator.log_likelihood(clip, KEY, control).shape == (2,)
    assert len(generator.clip_features(clip)) == 2


def test_inputs_that_do_not_fit_are_refused(generator, start_frames, control) -> None:
    for wrong in (
        {"frames": 0},
        {"control": control[:, 1:]},
        {"start_frames": start_frames[:, 1:]},
        {"start_frames": start_frames[0]},
    ):
        arguments = {"start_frames": start_frames, "rng": KEY, "num_samples": 1, "control": control, **wrong}
        with pytest.raises(UserError):
            generator.generate(**arguments)
    if generator.describe().pokes:
        with pytest.raises(UserError):
            generator.generate(start_frames, KEY, 1)
