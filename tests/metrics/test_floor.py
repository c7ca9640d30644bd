"""The distance between two sets of real clips."""

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.metrics.base import Floor
from i2v_jax.metrics.frechet import frechet_distance_of_features
from i2v_jax.metrics.frechet_metrics import floor_of_features


@pytest.mark.parametrize(("real", "clips", "half"), [(20, 10, 10), (20, 6, 6), (21, 100, 10)])
def test_the_floor_is_between_disjoint_halves(real: int, clips: int, half: int) -> None:
    seen = []

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        assert len(a) == len(b) == half
        assert not set(a[:, 0]) & set(b[:, 0])
        seen.append(a)
        return float(len(seen))

    floor = floor_of_features(distance, np.arange(2.0 * real).reshape(real, 2), clips, divisions=3)
    assert floor == Floor(2.0, 1.0, half, 3)
    assert len({tuple(a[:, 0]) for a in seen}) == 3


def test_the_floor_falls_with_the_number_of_clips() -> None:
    features = np.random.default_rng(0).standard_normal((400, 20))
    few, many = (floor_of_features(frechet_distance_of_features, features, clips) for clips in (20, 200))
    assert few.clips == 20 and many.clips == 200
    assert 0 < 5 * many.mean < few.mean
    assert floor_of_features(frechet_distance_of_features, features, 20) == few


def test_a_floor_needs_two_halves() -> None:
    with pytest.raises(UserError):
        floor_of_features(frechet_distance_of_features, np.zeros((3, 2)), 256)
