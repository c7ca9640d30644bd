"""PSNR and SSIM against closed forms, a direct loop over windows, and scikit-image."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.metrics

from i2v_jax.errors import UserError
from i2v_jax.metrics import paired


def _noise(seed: int, shape: tuple[int, ...] = (2, 3, 14, 13, 3)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def test_psnr_of_a_constant_shift() -> None:
    truth = np.zeros((2, 4, 5, 6, 3), np.float32)
    shifted = truth + np.array([0.2, 0.02], np.float32)[:, None, None, None, None]
    # A shift of 0.2 in [-1, 1] is 0.1 of the range: 20 dB.
    np.testing.assert_allclose(paired.psnr(truth, shifted), [20, 40], atol=1e-4)


def test_psnr_is_averaged_over_frames_not_over_errors() -> None:
    truth = np.zeros((1, 2, 5, 6, 3), np.float32)
    shifted = truth + np.array([0.2, 0.02], np.float32)[None, :, None, None, None]
    np.testing.assert_allclose(paired.psnr(truth, shifted), [30], atol=1e-4)


def test_psnr_of_the_same_video_is_infinite() -> None:
    assert np.isinf(np.asarray(paired.psnr(_noise(0), _noise(0)))).all()


def _ssim_window(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    variance_x, variance_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = 0.01**2, 0.03**2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return above / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))


def test_ssim_against_a_loop_over_windows() -> None:
    truth = _noise(1)
    video = np.clip(truth + 0.3 * _noise(2), -1, 1)
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(line, line) / line.sum() ** 2
    expected = []
    for x, y in zip((truth.astype(np.float64) + 1) / 2, (video.astype(np.float64) + 1) / 2, strict=True):
        values = [
            _ssim_window(x[t, i : i + 11, j : j + 11, c], y[t, i : i + 11, j : j + 11, c], weights)
            for t in range(3)
            for i in range(4)
            for j in range(3)
            for c in range(3)
        ]
        expected.append(np.mean(values))
    np.testing.assert_allclose(paired.ssim(truth, video), expected, atol=1e-5)


def test_ssim_of_equal_videos_and_of_two_constants() -> None:
    np.testing.assert_allclose(paired.ssim(_noise(3), _noise(3)), 1, atol=1e-5)
    # Without structure only the luminance term is left: (2ab + c1) / (a^2 + b^2 + c1) on [0, 1].
    a, b, c1 = 0.25, 0.75, 1e-4
    flat = np.full((1, 1, 11, 11, 3), 1, np.float32)
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    np.testing.assert_allclose(paired.ssim((2 * a - 1) * flat, (2 * b - 1) * flat), expected, atol=1e-5)
    assert math.isclose(expected, 0.6, abs_tol=1e-4)


def test_ssim_of_frames_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(UserError) as raised:
        paired.ssim(np.zeros((1, 1, 8, 16, 3)), np.zeros((1, 1, 8, 16, 3)))
    assert (raised.value.field, raised.value.value) == ("frames", (8, 16))


def _pair() -> tuple[np.ndarray, np.ndarray]:
    """Returns videos with smooth, bright and with noisy frames."""
    truth = _noise(4, (2, 3, 24, 20, 3))
    truth[1] = 0.9 + 0.05 * truth[1]
    return truth, np.clip(truth + 0.2 * _noise(5, truth.shape), -1, 1)


def test_curves_against_scikit_image() -> None:
    truth, video = _pair()
    frames = [
        [((a.astype(np.float64) + 1) / 2, (b.astype(np.float64) + 1) / 2) for a, b in zip(x, y, strict=True)]
        for x, y in zip(truth, video, strict=True)
    ]
    ssim = [
        [
            skimage.metrics.structural_similarity(
                a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=-1
            )
            for a, b in row
        ]
        for row in frames
    ]
    psnr = [[skimage.metrics.peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in row] for row in frames]
    np.testing.assert_allclose(paired.ssim_per_frame(truth, video), ssim, atol=1e-5)
    np.testing.assert_allclose(paired.psnr_per_frame(truth, video), psnr, atol=1e-4)
    np.testing.assert_allclose(paired.ssim(truth, video), np.mean(ssim, axis=1), atol=1e-5)
    np.testing.assert_allclose(paired.psnr(truth, video), np.mean(psnr, axis=1), atol=1e-4)


def test_curve_of_an_image_distance() -> None:
    def distance(a: jax.Array, b: jax.Array) -> jax.Array:
        assert a.ndim == b.ndim == 4
        return jnp.abs(a - b).max(axis=(1, 2, 3))

    truth, video = _pair()
    expected = np.abs(truth - video).max(axis=(2, 3, 4))
    np.testing.assert_allclose(paired.image_distance_per_frame(distance, truth, video), expected, rtol=1e-6)
