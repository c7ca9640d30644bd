"""Sampling, transfer, control and chaining: by hand with stand-in networks, as identities with real ones."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.models.flow import ConditionalFlow
from i2v_jax.models.resnet3d import VideoEncoder
from i2v_jax.models.video_decoder import VideoDecoder
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CinnNetworks
from i2v_jax.tasks.control import DIRECTION
from tests.models.random_variables import random_variables
from tests.sampling import stand_ins


def _start_frames(*values: float) -> np.ndarray:
    return np.stack([np.full((4, 4, 3), value, np.float32) for value in values])


def _clip(start: float, first: float, last: float) -> np.ndarray:
    levels = np.concatenate([[start], np.linspace(first, last, 16)])
    return np.broadcast_to(levels[None, :, None, None, None], (1, 17, 4, 4, 3)).astype(np.float32)


def test_a_sample_without_noise_is_the_decoded_shift() -> None:
    videos = stand_ins.generator().generate(_start_frames(0.5, 0.1), jax.random.key(0), 3, temperature=0.0)
    assert videos.shape == (2, 3, 16, 4, 4, 3)
    # nu = 0, so that z is the embedding (x0's mean) twice; frame t is x0 + (t + 1) z + z / 1000.
    expected = 0.5 + 0.5 * np.arange(1, 17) + 0.5 / 1000
    np.testing.assert_allclose(videos[0, :, :, 1, 2, 0], np.tile(expected, (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(videos[1, 2, 15], 0.1 + 16 * 0.1 + 0.1 / 1000, rtol=1e-6)


def test_noise_has_the_requested_spread_and_depends_on_the_seed() -> None:
    generator = stand_ins.generator(chunk=64)
    videos = generator.generate(_start_frames(0.0), jax.random.key(0), 2000, frames=2, temperature=0.5)
    first_entry = videos[0, :, 1, 0, 0, 0] - videos[0, :, 0, 0, 0, 0]  # one step is z[0] = nu[0]
    assert abs(first_entry.mean()) < 4 * 0.5 / np.sqrt(2000)
    assert abs(first_entry.std() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    again = generator.generate(_start_frames(0.0), jax.random.key(0), 5, frames=2, temperature=0.5)
    other = generator.generate(_start_frames(0.0), jax.random.key(1), 5, frames=2, temperature=0.5)
    np.testing.assert_array_equal(again, videos[:, :5])
    assert np.abs(again - other).min() > 0


def test_without_the_flow_the_latent_itself_is_standard_normal() -> None:
    model = stand_ins.generator(chunk=64)
    plain = dataclasses.replace(model, networks=dataclasses.replace(model.networks, flow=None, image_encoder=None))
    videos = plain.generate(_start_frames(0.3), jax.random.key(0), 2000, frames=2)
    first_entry = videos[0, :, 1, 0, 0, 0] - videos[0, :, 0, 0, 0, 0]  # one step is z[0]
    assert abs(first_entry.mean()) < 4 / np.sqrt(2000)
    assert abs(first_entry.std() - 1) < 4 / np.sqrt(4000)
    clip = _clip(0.0, 0.1, 0.4)
    np.testing.assert_array_equal(plain.transfer(plain.encode_motion(clip), clip[:, 0]), plain.reconstruct(clip))


@pytest.mark.parametrize("control", ["none", "direction"])
def test_a_sample_does_not_depend_on_how_many_are_made(control: str) -> None:
    frames = _start_frames(0.0, 0.3, -0.2)
    one_by_one = stand_ins.generator(control, chunk=1).generate(frames, jax.random.key(3), 5)
    in_chunks = stand_ins.generator(control, chunk=4).generate(frames[:2], jax.random.key(3), 3)
    np.testing.assert_allclose(in_chunks, one_by_one[:2, :3], rtol=1e-6, atol=1e-6)


def test_chaining_with_the_same_z_goes_on_from_the_last_frame() -> None:
    video = stand_ins.generator().generate(_start_frames(0.1), jax.random.key(0), 1, frames=40, temperature=0.0)[0, 0]
    assert video.shape == (40, 4, 4, 3)
    step, offset = 0.1, 0.1 / 1000
    expected = [0.1 + step * (t + 1) + offset * (1 + t // 16) for t in range(40)]
    np.testing.assert_allclose(video[:, 0, 0, 0], expected, rtol=1e-5)


def test_chaining_with_fresh_noise_runs_the_flow_again() -> None:
    generator = stand_ins.generator()
    video = generator.generate(_start_frames(0.1), jax.random.key(0), 1, frames=32, temperature=0.0, chain="fresh")[
        0, 0
    ]
    last = 0.1 + 16 * 0.1 + 0.1 / 1000
    # The second part's z is the embedding of the last frame of the first.
    np.testing.assert_allclose(video[16, 0, 0, 0], last + last + last / 1000, rtol=1e-5)
    noisy = generator.generate(_start_frames(0.0), jax.random.key(0), 1, frames=32, chain="fresh")[0, 0, :, 0, 0, 0]
    kept = generator.generate(_start_frames(0.0), jax.random.key(0), 1, frames=32, chain="same_z")[0, 0, :, 0, 0, 0]
    np.testing.assert_allclose(noisy[:16], kept[:16], rtol=1e-6)
    assert abs(kept[17] - kept[16] - (kept[1] - kept[0])) < 1e-3  # z as before, up to the rounding of large frames
    assert abs(noisy[17] - noisy[16] - (noisy[1] - noisy[0])) > 1e-2


def test_residual_and_transfer() -> None:
    generator = stand_ins.generator()
    residual = generator.encode_motion(_clip(0.3, 0.4, 0.7))
    np.testing.assert_allclose(residual, [[0.4 - 0.3, 0.7 - 0.3]], atol=1e-6)
    videos = generator.transfer(residual, _start_frames(0.0, -0.5), frames=20)
    assert videos.shape == (2, 20, 4, 4, 3)
    np.testing.assert_allclose(videos[0, 0], 0.1 + 0.4 / 1000, atol=1e-6)
    np.testing.assert_allclose(videos[1, 0], -0.5 + (0.1 - 0.5) + (0.4 - 0.5) / 1000, atol=1e-6)


def test_control_moves_the_latent_and_keeps_the_residual() -> None:
    generator = stand_ins.generator("direction")
    clip = _clip(0.0, 5.25, 5.5)
    five, nine = DIRECTION.encode(np.array([5]), 4), DIRECTION.encode(np.array([9]), 4)
    np.testing.assert_allclose(generator.encode_motion(clip, five), [[0.25, 0.5]], atol=1e-6)
    np.testing.assert_allclose(generator.recontrol(clip, five, nine)[0, 0], 9.25 + 9.5 / 1000, rtol=1e-6)
    wheel = generator.transfer(np.zeros((1, 2)), _start_frames(0.0), DIRECTION.encode(np.arange(36), 4))
    np.testing.assert_allclose(wheel[:, 0, 0, 0, 0], 1.001 * np.arange(36), rtol=1e-5)


def test_free_samples_of_a_controlled_network_draw_their_control() -> None:
    videos = stand_ins.generator("direction", chunk=64).generate(
        _start_frames(0.0), jax.random.key(0), 400, frames=1, temperature=0.0
    )
    bins = (videos[0, :, 0, 0, 0, 0] / 1.001).round().astype(int)
    assert set(bins) == set(range(36))


@pytest.fixture(scope="module")
def real() -> CinnGenerator:
    """Returns a generator of the smallest real networks, 32x32, initialized at random."""
    z_dim, frame, latent = 8, jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 8))
    encoder = VideoEncoder(z_dim, (16,) * 5, (1, 2, 2, 2), (1, 1, 2, 2))
    decoder = VideoDecoder(z_dim, 1, (2, 1), (1, 1))
    flow = ConditionalFlow(z_dim, blocks=2, hidden=8, control=True)
    variables = {
        "encoder": random_variables(encoder, jnp.zeros((1, 16, 32, 32, 3))),
        "decoder": random_variables(decoder, frame, latent),
        "image_encoder": {},
        "flow": random_variables(flow, latent, jnp.zeros((1, 1 + 36))),
    }
    rng = np.random.default_rng(0)
    variables["flow"]["buffers"] = jax.tree.map(lambda _: rng.permutation(z_dim), variables["flow"]["buffers"])
    networks = CinnNetworks(encoder, decoder, stand_ins.MeanBrightness(), flow)
    return CinnGenerator(networks, variables, size=32, z_dim=8, control=DIRECTION, chunk=2)


def test_transfer_of_a_clips_own_motion_is_its_reconstruction(real: CinnGenerator) -> None:
    video = np.random.default_rng(0).uniform(-1, 1, (2, 17, 32, 32, 3)).astype(np.float32)
    own = DIRECTION.encode(np.array([3, 20]), 4)
    reconstruction = real.reconstruct(video)
    assert reconstruction.shape == (2, 16, 32, 32, 3)
    assert np.abs(reconstruction).max() <= 1
    np.testing.assert_allclose(
        real.transfer(real.encode_motion(video, own), video[:, 0], own), reconstruction, atol=1e-4
    )
    np.testing.assert_allclose(real.recontrol(video, own, own), reconstruction, atol=1e-4)
    other = DIRECTION.encode(np.array([30, 2]), 4)
    assert np.abs(real.recontrol(video, own, other) - reconstruction).max() > 1e-2


def test_inputs_that_do_not_fit_are_refused() -> None:
    free, controlled = stand_ins.generator(), stand_ins.generator("direction")
    key, frame, eta = jax.random.key(0), _start_frames(0.0), DIRECTION.encode(np.array([1]), 4)
    calls: list[tuple[Callable[[], object], str, object]] = [
        (lambda: free.generate(np.zeros((1, 8, 4, 3)), key, 1), "start_frames", [1, 8, 4, 3]),
        (lambda: free.encode_motion(np.zeros((1, 16, 4, 4, 3))), "video", [1, 16, 4, 4, 3]),
        (lambda: free.generate(frame, key, 1, control=eta), "control", None),
        (lambda: controlled.generate(frame, key, 1, control=np.zeros((1, 30))), "control", [1, 30]),
        (lambda: controlled.encode_motion(_clip(0, 0, 0)), "control", None),
        (lambda: free.transfer(np.zeros((2, 2)), _start_frames(0, 0, 0)), "motion", 2),
        (lambda: free.generate(frame, key, 1, frames=0), "frames", 0),
        (lambda: free.encode_pokes([[1, 1]], [[1, 0]]), "control", "none"),
    ]
    for call, field, value in calls:
        with pytest.raises(UserError) as raised:
            call()
        assert (raised.value.field, raised.value.value) == (field, value)
