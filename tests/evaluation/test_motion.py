import numpy as np
import pytest
import scipy.ndimage

from i2v_jax.evaluation.motion import measure_direction, measure_velocity


def drifting(dx: float, dy: float, frames: int = 4, size: int = 48) -> np.ndarray:
    """[T, H, W, 3] in [-1, 1]: a smooth random texture that moves by (dx, dy) pixels per frame."""
    texture = scipy.ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((size, size)), 2.5, mode="wrap")
    texture /= np.abs(texture).max()
    moved = [scipy.ndimage.shift(texture, (dy * t, dx * t), order=3, mode="grid-wrap") for t in range(frames)]
    return np.repeat(np.stack(moved)[..., None], 3, axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    ("dx", "dy", "angle"), [(1, 0, 0), (0, -1, 90), (-0.7, 0, 180), (0, 0.5, 270), (0.5, -0.5, 45)]
)
def test_known_shifts(dx: float, dy: float, angle: float) -> None:
    video = drifting(dx, dy)
    assert abs((measure_direction(video) - angle + 180) % 360 - 180) < 3
    assert measure_velocity(video) == pytest.approx((dx, dy), abs=0.05)


def test_only_the_masked_region_counts() -> None:
    video = drifting(1.0, 0.0)
    video[:, 24:] = drifting(-1.0, 0.0)[:, 24:]
    mask = np.zeros((48, 48))
    mask[:24] = 1
    assert measure_velocity(video, mask)[0] == pytest.approx(1.0, abs=0.1)
    assert measure_velocity(video, 1 - mask)[0] == pytest.approx(-1.0, abs=0.1)


def test_a_still_video_has_no_velocity() -> None:
    assert measure_velocity(drifting(0.0, 0.0)) == pytest.approx((0, 0), abs=0.01)
    assert measure_velocity(np.zeros((3, 32, 32, 3), np.float32)) == pytest.approx((0, 0), abs=0.01)


def test_bad_shapes() -> None:
    with pytest.raises(ValueError, match="at least two frames"):
        measure_direction(drifting(0, 0)[:1])
    with pytest.raises(ValueError, match="mask has shape"):
        measure_direction(drifting(0, 0), np.ones((8, 8)))
