"""The Fréchet distance against scipy's matrix square root, and against closed forms where that fails."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg

from i2v_jax.errors import UserError
from i2v_jax.metrics.accumulators import Moments
from i2v_jax.metrics.frechet import Gaussian, frechet_distance, frechet_distance_of_features, frechet_distance_per_frame

RNG = np.random.default_rng


def _features(seed: int, count: int, dimensions: int) -> np.ndarray:
    """Returns features far from zero with correlated dimensions of very different scales."""
    rng = RNG(seed)
    mixing = rng.standard_normal((dimensions, dimensions)) / np.arange(1, dimensions + 1)
    return rng.standard_normal((count, dimensions)) @ mixing + rng.standard_normal(dimensions)


def _rotation(dimensions: int) -> np.ndarray:
    return np.linalg.qr(RNG(7).standard_normal((dimensions, dimensions)))[0]


def gaussian_of(features: np.ndarray, ddof: int = 1) -> Gaussian:
    return Moments.empty(features.shape[1]).add(features).gaussian(ddof)


def _both(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    return frechet_distance_of_features(a, b), frechet_distance(gaussian_of(a), gaussian_of(b))


@pytest.mark.parametrize("count", [40, 300])
def test_against_the_matrix_square_root(count: int) -> None:
    a, b = _features(0, count, 12), _features(1, count + 5, 12)
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s_a @ s_b)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s_a + s_b - 2 * root.real)
    assert _both(a, b) == pytest.approx((expected, expected), rel=1e-9)


@pytest.mark.parametrize(("count", "dimensions"), [(6, 40), (41, 40), (200, 40), (2, 3)])
def test_equal_sets_are_at_zero_and_a_shift_at_its_square(count: int, dimensions: int) -> None:
    a = _features(2, count, dimensions)
    shift = RNG(3).standard_normal(dimensions)
    scale = np.trace(np.atleast_2d(np.cov(a, rowvar=False)))
    assert _both(a, a.copy()) == pytest.approx((0, 0), abs=1e-12 * scale)
    assert _both(a, a + shift) == pytest.approx((shift @ shift, shift @ shift), rel=1e-10)


@pytest.mark.parametrize("count", [6, 100])
def test_a_set_blown_up_about_its_mean(count: int) -> None:
    """S_b = c^2 S_a: (c - 1)^2 tr S_a, of any rank."""
    a = _features(4, count, 30)
    b = a.mean(0) + 3 * (a - a.mean(0))
    expected = 4 * np.trace(np.cov(a, rowvar=False))
    assert _both(a, b) == pytest.approx((expected, expected), rel=1e-10)


def test_commuting_covariances_without_full_rank() -> None:
    """Of the same eigenvectors: the squared differences of the standard deviations."""
    rotation, mean = _rotation(5), np.arange(5.0)
    a, b = np.array([4.0, 1.0, 0.0, 0.25, 0.0]), np.array([1.0, 0.0, 9.0, 4.0, 0.0])
    gaussians = [Gaussian(mean, (rotation * values) @ rotation.T, 1000) for values in (a, b)]
    expected = np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert frechet_distance(*gaussians) == pytest.approx(expected, rel=1e-7)


def test_two_points_against_two_points() -> None:
    """Rank one: S = u u^T has tr (S_a S_b)^(1/2) = |u . v|."""
    u, v, mean = (RNG(seed).standard_normal(50) for seed in range(3))
    a, b = np.stack([mean + u, mean - u]), np.stack([mean + v, mean - v])
    expected = 2 * (u @ u + v @ v - 2 * abs(u @ v))  # each covariance is 2 u u^T, dividing by N - 1 = 1
    assert _both(a, b) == pytest.approx((expected, expected), rel=1e-10)


def test_sets_that_spread_in_different_directions() -> None:
    a, b = np.zeros((9, 40)), np.zeros((9, 40))
    a[:, :20], b[:, 20:] = RNG(5).standard_normal((2, 9, 20))
    b += a.mean(0) - b.mean(0)
    expected = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False))
    assert _both(a, b) == pytest.approx((expected, expected), rel=1e-10)


@pytest.mark.parametrize(("count", "low", "high"), [(256, 115, 150), (1024, 28, 40)])
def test_two_samples_of_one_gaussian_are_apart(count: int, low: float, high: float) -> None:
    """400 dimensions, variances 1/k of sum 400: about 130 at N=256 and 35 at 992, although the model is perfect."""
    deviations = np.sqrt(1 / np.arange(1, 401))
    deviations *= np.sqrt(400 / np.sum(deviations**2))
    a, b = RNG(6).standard_normal((2, count, 400)) * deviations
    from_features, from_moments = _both(a, b)
    assert low < from_features < high
    assert from_moments == pytest.approx(from_features, rel=1e-6)


def test_ddof_scales_the_covariances_alone() -> None:
    a = _features(8, 10, 6)
    b = a.mean(0) + 2 * (a - a.mean(0))
    assert frechet_distance_of_features(a, b, ddof=0) == pytest.approx(0.9 * frechet_distance_of_features(a, b))
    shifted = frechet_distance_of_features(a, a + 1, ddof=0)
    assert shifted == pytest.approx(6)
    np.testing.assert_allclose(gaussian_of(a, ddof=0).covariance, np.cov(a, rowvar=False, ddof=0), rtol=1e-10)


def test_float32_features_far_from_zero() -> None:
    a, b = (_features(seed, 30, 5).astype(np.float32) + np.float32(1000) for seed in (0, 1))
    expected = frechet_distance_of_features(a.astype(np.float64) - 1000, b.astype(np.float64) - 1000)
    assert _both(a, b) == pytest.approx((expected, expected), rel=1e-8)


def test_per_frame() -> None:
    a, b = RNG(9).standard_normal((2, 8, 3, 5))
    expected = [frechet_distance_of_features(a[:, t], b[:, t]) for t in range(3)]
    assert frechet_distance_per_frame(a, b).tolist() == expected
    with pytest.raises(UserError) as raised:
        frechet_distance_per_frame(a, b[:, :2])
    assert raised.value.value == b[:, :2].shape


def test_bad_features() -> None:
    good = _features(0, 5, 3)
    bad = good.copy()
    bad[3, 1] = np.nan
    cases = (((good, good[:1]), "second", 1), ((bad, good), "first", 3), ((good, _features(0, 5, 4)), "second", 4))
    for sets, field, value in cases:
        with pytest.raises(UserError) as raised:
            frechet_distance_of_features(*sets)
        assert (raised.value.field, raised.value.value) == (field, value)
    with pytest.raises(UserError) as raised:
        frechet_distance_of_features(good, good, ddof=2)
    assert (raised.value.field, raised.value.value) == ("ddof", 2)


def test_bad_gaussians() -> None:
    fine = gaussian_of(_features(0, 5, 3))
    for changes in (
        {"covariance": -fine.covariance},
        {"count": 1},
        {"mean": fine.mean * np.inf},
        {"covariance": fine.covariance[:2, :2]},
    ):
        bad = dataclasses.replace(fine, **changes)
        for sets, field in (((bad, fine), "first"), ((fine, bad), "second")):
            with pytest.raises(UserError) as raised:
                frechet_distance(*sets)
            assert raised.value.field == field
