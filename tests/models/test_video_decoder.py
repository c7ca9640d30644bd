"""The video decoder: its ablations, and what each input can change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.models.video_decoder import VideoDecoder
from tests.models.random_variables import random_variables

DECODER = VideoDecoder(z_dim=8, channel_factor=4, upsample_t=(2, 1), upsample_s=(1, 1))
RNG = np.random.default_rng(0)
START_FRAMES = RNG.uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
LATENTS = RNG.normal(size=(2, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    return random_variables(DECODER, START_FRAMES, LATENTS)


@pytest.fixture(scope="module")
def decode(variables):
    return jax.jit(lambda frames, z: DECODER.apply(variables, frames, z))


def test_sixteen_frames_in_range(decode):
    video = decode(START_FRAMES, LATENTS)
    assert video.shape == (2, 16, 32, 32, 3)
    assert video.dtype == jnp.float32
    assert 0.1 < np.max(np.abs(video)) <= 1


def test_samples_do_not_mix(variables):
    """Uses double precision, because the order of summation depends on a sample's position in the batch."""
    with jax.enable_x64(True):
        decoder = DECODER.clone(dtype=jnp.float64)
        double = jax.tree.map(lambda leaf: leaf.astype(np.float64), variables)
        decode = jax.jit(lambda frames, z: decoder.apply(double, frames, z))
        frames, latents = START_FRAMES.astype(np.float64), LATENTS.astype(np.float64)
        video, swapped = decode(frames, latents), decode(frames[::-1], latents[::-1])
    assert video.dtype == np.float64
    np.testing.assert_allclose(video, swapped[::-1], rtol=0, atol=1e-12)


def test_both_inputs_change_the_video(decode):
    video = decode(START_FRAMES, LATENTS)
    assert np.max(np.abs(decode(START_FRAMES[::-1], LATENTS) - video)) > 1e-3
    assert np.max(np.abs(decode(START_FRAMES, LATENTS[::-1]) - video)) > 1e-3


def test_without_the_start_frame_it_changes_nothing():
    decoder = DECODER.clone(use_start_frame=False)
    variables = random_variables(decoder, START_FRAMES, LATENTS)
    assert not any("spade" in block for block in variables["params"].values())
    decode = jax.jit(lambda frames: decoder.apply(variables, frames, LATENTS))
    np.testing.assert_array_equal(decode(START_FRAMES), decode(START_FRAMES[::-1]))


def test_without_adain_the_latent_enters_once():
    """The latent enters through `fc`: with a kernel of zeros it changes nothing."""
    decoder = DECODER.clone(use_adain=False, use_start_frame=False, spectral_norm=False)  # what compiles fast
    variables = random_variables(decoder, START_FRAMES, LATENTS)
    assert not any("adain" in block for block in variables["params"].values())
    decode = jax.jit(decoder.apply)
    assert np.max(np.abs(decode(variables, START_FRAMES, LATENTS) - decode(variables, START_FRAMES, -LATENTS))) > 1e-3
    variables["params"]["fc"]["kernel"] = np.zeros_like(variables["params"]["fc"]["kernel"])
    np.testing.assert_array_equal(
        decode(variables, START_FRAMES, LATENTS), decode(variables, START_FRAMES, 100 * LATENTS)
    )


def test_without_spectral_norm_there_are_no_spectral_vectors():
    shapes = jax.eval_shape(DECODER.clone(spectral_norm=False).init, jax.random.key(0), START_FRAMES, LATENTS)
    assert set(shapes) == {"params"}


def test_bfloat16_computes_the_same_with_float32_parameters(variables, decode):
    shapes = jax.eval_shape(DECODER.clone(dtype=jnp.bfloat16).init, jax.random.key(0), START_FRAMES, LATENTS)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    half = jax.jit(DECODER.clone(dtype=jnp.bfloat16).apply)(variables, START_FRAMES, LATENTS)
    full = decode(START_FRAMES, LATENTS)
    assert half.dtype == jnp.float32
    # bfloat16 keeps 8 bits; errors of 13 layers add up to a few per cent
    assert np.linalg.norm(half - full) < 0.05 * np.linalg.norm(full)
