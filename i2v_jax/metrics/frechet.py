"""The Fréchet distance between the Gaussians of two sets of features, in float64 on the host.

    d^2 = |mean_a - mean_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)

With factors S = F F^T, S_a S_b has the non-zero eigenvalues of M M^T for M = F_a^T F_b, so that the last trace is the
sum of the singular values of M. Nothing is inverted and no square root of a matrix is taken: the result is real and
accurate for covariances of any rank, also for fewer clips than dimensions, where iterations for the matrix square root
fail or return complex numbers.
"""

import dataclasses

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from i2v_jax.errors import UserError
from i2v_jax.metrics.checks import check_features

# How the trace of the square root is found, for the records.
TRACE_METHOD = "singular_values_of_factors"

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Gaussian:
    """The mean and the covariance of the features of `count` clips or frames."""

    mean: Float64  # [D]
    covariance: Float64  # [D, D]
    count: int


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Returns d^2 of two Gaussians. From features, `frechet_distance_of_features` is more exact if N <= D.

    Raises:
        UserError: dimensions differ, values are not finite, there are fewer than two clips, or a covariance has
            negative eigenvalues. The field is "first" or "second".
    """
    return _distance(a.mean, _factor_of_covariance("first", a), b.mean, _factor_of_covariance("second", b))


def frechet_distance_of_features(a: ArrayLike, b: ArrayLike, ddof: int = 1) -> float:
    """Returns d^2 of features [N, D] and [M, D], N and M at least 2; covariances are sums divided by N - ddof.

    Raises:
        UserError: dimensions differ, features are not finite, or there are fewer than two clips. The field is "first"
            or "second".
    """
    return _distance(*_factor_of_features("first", a, ddof), *_factor_of_features("second", b, ddof))


def frechet_distance_per_frame(a: ArrayLike, b: ArrayLike, ddof: int = 1) -> Float64:
    """Returns d^2 between the frames at each time, [T], of features [N, T, D] and [M, T, D]. Raises as above."""
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 3 or b.ndim != 3 or a.shape[1] != b.shape[1]:
        raise UserError(
            f"invalid shapes of features per frame: {a.shape} and {b.shape} (must be [N, T, D] with the same T)",
            field="second",
            value=b.shape,
        )
    return np.array([frechet_distance_of_features(a[:, t], b[:, t], ddof) for t in range(a.shape[1])])


def _distance(mean_a: Float64, factor_a: Float64, mean_b: Float64, factor_b: Float64) -> float:
    """Means [D]; factors [D, r] and [D, s]."""
    if mean_a.shape != mean_b.shape:
        raise UserError(
            f"features of {len(mean_a)} and of {len(mean_b)} dimensions cannot be compared: use one backbone for both",
            field="second",
            value=len(mean_b),
        )
    overlap = scipy.linalg.svdvals(factor_a.T @ factor_b).sum() if factor_a.size and factor_b.size else 0.0
    squares = np.sum((mean_a - mean_b) ** 2) + np.sum(factor_a**2) + np.sum(factor_b**2)
    # Equal sets come out as rounding of either sign.
    return max(float(squares - 2 * overlap), 0.0)


def _factor_of_features(name: str, features: ArrayLike, ddof: int) -> tuple[Float64, Float64]:
    """Returns the mean [D] and a factor [D, min(N, D)] of the covariance."""
    features = check_features(name, features)
    if ddof not in (0, 1):
        raise UserError(f"invalid value for ddof: {ddof} (must be 0 or 1)", field="ddof", value=ddof)
    mean = features.mean(axis=0)
    centered = features - mean
    if len(centered) > centered.shape[1]:
        centered = np.linalg.qr(centered, mode="r")
    return mean, centered.T / np.sqrt(len(features) - ddof)


def _factor_of_covariance(name: str, gaussian: Gaussian) -> Float64:
    """Returns [D, r] for rank r: N points span at most N - 1 dimensions, and rounding is not a direction."""
    dimensions = len(gaussian.mean)
    shape = gaussian.covariance.shape
    if shape != (dimensions, dimensions):
        raise UserError(f"{name} set: the covariance has shape {shape}, the mean {dimensions} entries", name, shape)
    if not (np.isfinite(gaussian.mean).all() and np.isfinite(gaussian.covariance).all()):
        raise UserError(f"{name} set: the mean or the covariance is not finite", name)
    if gaussian.count < 2:
        raise UserError(f"{name} set: too few clips: {gaussian.count} (must be at least 2)", name, gaussian.count)
    covariance = np.asarray(gaussian.covariance, np.float64)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    largest = max(values[-1], 0.0)
    if values[0] < -1e-6 * max(largest, np.finfo(float).tiny):
        raise UserError(f"{name} set: the covariance has the negative eigenvalue {values[0]:.3g}", name, values[0])
    kept = (values > dimensions * np.finfo(float).eps * largest) & (
        np.arange(dimensions) >= dimensions - (gaussian.count - 1)
    )
    return vectors[:, kept] * np.sqrt(values[kept])
