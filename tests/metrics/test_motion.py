import numpy as np
import pytest
import scipy.ndimage

from i2v_jax.input import pokes
from i2v_jax.input.procedural import plants
from i2v_jax.metrics import motion
from i2v_jax.metrics.motion import measure_direction, measure_velocity


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
    with pytest.raises(ValueError, match="frames"):
        measure_direction(drifting(0, 0)[:1])
    with pytest.raises(ValueError, match="mask"):
        measure_direction(drifting(0, 0), np.ones((8, 8)))


@pytest.mark.parametrize(("size", "share"), [(32, 0.24), (64, 0.14)])
def test_a_point_is_followed_to_where_it_went(size, share):
    """The mean error on true `plants` clips, leaves among similar leaves, is below `share` of the mean displacement."""
    errors, lengths = [], []
    for index in range(12):
        flow = plants.plants_flow("test", index, size)
        poke = pokes.draw_poke(flow, 3, False, np.random.default_rng(index))
        video = plants.render("test", index, size, range(11)).astype(np.float32) / 127.5 - 1
        end = motion.track(video, poke.position)
        errors.append(np.hypot(*(end - poke.position - poke.displacement)))
        lengths.append(np.hypot(*poke.displacement))
    assert np.mean(lengths) > 0.05 * size
    assert np.mean(errors) < share * np.mean(lengths)


def test_nothing_moves_in_a_still_video():
    frame = np.random.default_rng(0).uniform(-1, 1, (32, 32, 3))
    np.testing.assert_allclose(motion.track(np.stack([frame] * 4), (7, 20)), (7, 20), atol=1e-6)


def test_the_variance_of_the_motion_relative_to_a_pixel():
    """One pixel moves like the poked one, one in the opposite direction, one twice as far, and one stays."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    lengths = np.random.default_rng(0).uniform(1, 3, 40)
    poked = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    flows = np.zeros((40, 1, 5, 2))
    flows[:, 0, 0], flows[:, 0, 1], flows[:, 0, 2], flows[:, 0, 3] = poked, poked, -poked, 2 * poked
    variance = motion.motion_variance(flows, (0, 0))
    assert variance.shape == (1, 5)
    np.testing.assert_allclose(variance[0, :4], [0, 0, 0, lengths.var()], atol=1e-6)
    expected = np.hypot(lengths, np.abs((angles + np.pi) % (2 * np.pi) - np.pi)).var()
    np.testing.assert_allclose(variance[0, 4], expected, rtol=1e-5)
