"""Answers to pokes: by hand with a stand-in model, and from a work directory of untrained networks."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from i2v_jax.configs import plants
from i2v_jax.errors import UserError
from i2v_jax.input.pokes import poke_map
from i2v_jax.sampling.load import load_generator
from i2v_jax.sampling.poke import PokeGenerator, likeness
from tests.sampling.random_run import write_run

SIZE = 16


class Shifting(nn.Module):
    """Frame t is x0, brighter by t times the poke map's sum of dx, plus a hundredth of the sum of dy."""

    def encode(self, images):
        return (images,)

    def encode_poke(self, poke):
        return poke.sum(axis=(1, 2))

    def predict(self, states, latent, frames):
        steps = latent[:, :1] * jnp.arange(1, frames + 1) + latent[:, 1:] / 100
        return (states[0][:, None] + steps[:, :, None, None, None],)

    def decode(self, states, start_frame):
        return states[0]


class Streaming(nn.Module):
    """As `Shifting`, without dy, part by part."""

    def encode(self, images):
        return (images,)

    def encode_poke(self, poke):
        return poke[..., 0].sum(axis=(1, 2))

    def begin(self, states):
        return states

    def advance(self, cells, latent, start_frame, frames, first):
        steps = latent[:, None] * jnp.arange(1, frames + 1)
        video = cells[0][:, None] + steps[:, :, None, None, None]
        return (video[:, -1],), video


def stand_in(**fields):
    defaults = {"model": Shifting(), "size": SIZE, "poke_size": 3, "frames": 4, "chunk": 2}
    return PokeGenerator(variables={}, **{**defaults, **fields})


def frames(*values):
    return np.stack([np.full((SIZE, SIZE, 3), value, np.float32) for value in values])


def test_answers_follow_the_poke():
    generator = stand_in()
    videos = generator.respond(frames(0.5, 0.0, -0.5), [[5, 5], [0, 15], [7.4, 3]], [[1, 0], [0, 1], [0.5, 0]])
    assert videos.shape == (3, 4, SIZE, SIZE, 3)
    steps = np.arange(1, 5)
    np.testing.assert_allclose(videos[0, :, 0, 0, 0], 0.5 + 9 * steps, rtol=1e-5)  # a square of nine pixels
    np.testing.assert_allclose(videos[1, :, 0, 0, 0], 0.04, rtol=1e-5)  # of which a corner leaves four
    np.testing.assert_allclose(videos[2, :, 0, 0, 0], -0.5 + 4.5 * steps, rtol=1e-5)


def test_several_pokes_of_one_image_and_longer_answers():
    videos = stand_in().respond(frames(0.0), [[5, 5], [8, 8]], [[1, 0], [2, 0]], frames=6)
    assert videos.shape == (2, 6, SIZE, SIZE, 3)
    np.testing.assert_allclose(videos[:, -1, 0, 0, 0], [54, 108], rtol=1e-5)


def test_a_streamed_answer_is_the_whole_one_in_parts(tmp_path: pathlib.Path):
    write_run(tmp_path, plants.get_config("demo,runlocal"))
    generator = load_generator(tmp_path)
    rng, side = np.random.default_rng(0), generator.size
    start_frames = rng.uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
    control = generator.encode_pokes([[5, 5], [8, 8]], [[1, 0], [2, 0]])
    parts = list(generator.stream(start_frames, jax.random.key(0), 1, frames=6, control=control))
    assert [part.shape[2] for part in parts] == [1, 3, 2]
    whole = generator.generate(start_frames, jax.random.key(0), 1, frames=6, control=control)
    np.testing.assert_allclose(np.concatenate(parts, axis=2), whole, atol=1e-5)


def test_pokes_in_turn_go_on_from_the_last_frame():
    video = stand_in().respond_in_turn(frames(0.0)[0], [[5, 5], [8, 8]], [[1, 0], [2, 0]])
    assert video.shape == (8, SIZE, SIZE, 3)
    np.testing.assert_allclose(video[:, 0, 0, 0], [9, 18, 27, 36, 54, 72, 90, 108], rtol=1e-5)


@pytest.mark.parametrize(
    "poke",
    [(16, 3, 1, 0), (-1, 3, 1, 0), (3, 15.5, 1, 0), (3, 3, 0, 0), (3, np.nan, 1, 0), (3, 3, np.inf, 0), (3, 3, 20, 12)],
)
def test_what_is_no_poke_is_refused(poke):
    x, y, dx, dy = poke
    with pytest.raises(UserError):
        stand_in().respond(frames(0.0), [[x, y]], [[dx, dy]])


@pytest.mark.parametrize(
    ("start_frames", "positions", "displacements", "field", "value"),
    [
        (np.zeros((1, 8, 16, 3)), [[5, 5]], [[1, 0]], "start_frames", [1, 8, 16, 3]),
        (frames(0.0), [5, 5], [1, 0], "positions", [2]),
        (frames(0.0), [[5, 5]], [[1, 0, 0]], "displacements", [1, 3]),
        (frames(0.0, 0.1), [[5, 5]] * 3, [[1, 0]] * 3, "start_frames", 2),
    ],
)
def test_inputs_that_do_not_fit_are_refused(start_frames, positions, displacements, field, value):
    with pytest.raises(UserError) as raised:
        stand_in().respond(start_frames, positions, displacements)
    assert (raised.value.field, raised.value.value) == (field, value)


def test_impulses_have_a_length_of_one_at_most():
    with pytest.raises(UserError):
        stand_in(impulse=True).respond(frames(0.0), [[5, 5]], [[1, 0.5]])


class TwoHalves(nn.Module):
    """A textured picture whose left half moves by the poke and whose right half stays."""

    def encode(self, images):
        return (images,)

    def encode_poke(self, poke):
        return poke.sum(axis=(1, 2)) / 9

    def predict(self, states, latent, frames):
        image, size = states[0], states[0].shape[1]
        row, column = jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij")
        moved = []
        for index in range(image.shape[0]):
            dx, dy = latent[index]
            source_row, source_column = jnp.clip(row - dy, 0, size - 1), jnp.clip(column - dx, 0, size - 1)
            top, left = jnp.floor(source_row).astype(int), jnp.floor(source_column).astype(int)
            below, right = jnp.minimum(top + 1, size - 1), jnp.minimum(left + 1, size - 1)
            b, a = (source_row - top)[..., None], (source_column - left)[..., None]
            upper = (1 - a) * image[index, top, left] + a * image[index, top, right]
            lower = (1 - a) * image[index, below, left] + a * image[index, below, right]
            moved.append(jnp.where(column[..., None] < size // 2, (1 - b) * upper + b * lower, image[index]))
        return (jnp.repeat(jnp.stack(moved)[:, None], frames, axis=1),)

    def decode(self, states, start_frame):
        return states[0]


def test_the_structure_is_what_moves_together():
    size = 48
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((size, size, 3)), (2, 2, 0))
    picture = (noise / np.abs(noise).max()).astype(np.float32)
    generator = PokeGenerator(TwoHalves(), {}, size=size, poke_size=3, frames=1, chunk=8)
    variance = generator.structure(picture, (10, 24), count=24)
    assert variance.shape == (size, size)
    assert variance[24, 10] == 0
    inner = np.s_[12:36]
    assert np.median(variance[inner, 6:18]) < 0.01 * np.median(variance[inner, 30:42])
    alike = likeness(variance)
    assert alike[24, 10] == 1
    assert np.median(alike[inner, 6:18]) > np.median(alike[inner, 30:42]) + 0.3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs") / "plants"
    write_run(folder, plants.get_config("demo,runlocal"))
    return folder


def test_a_work_directory_becomes_a_generator(run: pathlib.Path):
    generator = load_generator(run)
    assert (generator.size, generator.frames, generator.poke_size) == (32, 5, 3)
    start = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    videos = generator.respond(start, [[5, 5], [20, 9]], [[3, 0], [0, -4]])
    assert videos.shape == (2, 5, 32, 32, 3)
    assert np.abs(videos).max() <= 1
    assert np.abs(videos[0] - videos[1]).max() > 1e-4
    longer = generator.respond(start, [[5, 5], [20, 9]], [[3, 0], [0, -4]], frames=13)
    np.testing.assert_allclose(longer[:, :5], videos, atol=1e-4)  # the dynamics go on as they are


def test_the_networks_see_the_poke_map_of_training():
    generator = stand_in(poke_size=5)
    pokes = np.array([[0, 15, 1, -2], [7.5, 3.4, 0.25, 0], [15.49, -0.5, 3, 3]], np.float32)
    for row, made in zip(pokes, generator._maps(jnp.asarray(pokes)), strict=True):
        place = round(float(row[0])), round(float(row[1]))
        np.testing.assert_array_equal(made, poke_map(place, row[2:], SIZE, 5))


def test_a_poke_of_length_zero_moves_nothing():
    """`respond` refuses such a poke, but clips whose poked point does not move have it."""
    control = np.array([[5, 5, 1, 0], [5, 5, 0, 0]], np.float32)
    videos = stand_in().generate(frames(0.1, 0.2), jax.random.key(0), 2, control=control)
    assert (videos[1] == np.float32(0.2)).all() and (videos[0] != np.float32(0.1)).all()
    parts = list(stand_in(model=Streaming()).stream(frames(0.1, 0.2), jax.random.key(0), 1, control=control))
    assert all((part[1] == np.float32(0.2)).all() for part in parts)
