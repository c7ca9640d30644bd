import numpy as np
import pytest
import scipy.stats

from i2v_jax.input import directions
from i2v_jax.input.procedural import sky
from i2v_jax.metrics.motion import measure_direction
from i2v_jax.pixels import from_levels


def test_clips_are_the_same_every_time_and_differ_from_each_other() -> None:
    first = sky.render("train", 3, 32, range(4))
    sky._scene.cache_clear()
    assert np.array_equal(first, sky.render("train", 3, 32, range(4)))
    assert first.shape == (4, 32, 32, 3)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, sky.render("train", 4, 32, range(4)))
    assert not np.array_equal(first, sky.render("test", 3, 32, range(4)))


def test_the_start_frame_does_not_depend_on_the_motion() -> None:
    frames = [sky.render("train", 5, 32, [0], sky.Motion(angle, speed))[0] for angle, speed in ((0, 0.02), (123, 0.03))]
    assert np.array_equal(*frames)


def test_all_directions_are_equally_likely() -> None:
    bins = [directions.direction_bin(sky.sky_motion("train", i).angle) for i in range(3600)]
    assert scipy.stats.chisquare(np.bincount(bins, minlength=36)).pvalue > 1e-3


@pytest.mark.parametrize(("angle", "shift"), [(0, (0, 4)), (90, (-4, 0)), (180, (0, -4)), (270, (4, 0))])
def test_motion_is_an_exact_shift_of_the_clouds(angle: float, shift: tuple[int, int]) -> None:
    """The cloud field after a drift of 4 pixels is the field shifted by 4 pixels."""
    spectrum = sky._scene("train", 0, 32).spectra[0]
    dx, dy = sky.Motion(angle, 4 / 32).velocity(32)
    still, moved = sky._drift(spectrum, np.array([[0.0, 0.0], [dx, dy]]), 32)
    rows, columns = (slice(max(0, s), 32 + min(0, s)) for s in shift)
    came_from = (slice(max(0, -shift[0]), 32 - max(0, shift[0])), slice(max(0, -shift[1]), 32 - max(0, shift[1])))
    assert moved[rows, columns] == pytest.approx(still[came_from], abs=1e-4)


def test_ground_is_still_and_sky_moves() -> None:
    for index in range(8):
        video = sky.render("train", index, 32, [0, 8, 16]).astype(float)
        share = sky.sky_mask("train", index, 32)
        change = np.abs(np.diff(video, axis=0)).max((0, 3))
        assert np.all(change[share == 0] == 0)
        assert change[share == 1].mean() > 4
        assert 0.5 < share.mean() < 0.95


def test_the_veil_comes_in_from_the_side_the_wind_blows_from() -> None:
    """It is outside the start frame, and its front has traveled `_VEIL_SPEED` times as far as the clouds."""
    east = sky.Motion(angle=0.0, speed=0.01)
    start, middle, late = sky._veil_share(east, [0, 10, 30], 64)
    assert np.all(start == 0)
    assert np.all(np.diff(middle, axis=1) <= 0)  # denser on the left
    front = 10 * 5 * 0.01  # frame widths from the left border
    assert np.flatnonzero(middle[0])[-1] == round(front * 64) - 1
    assert np.all(late[:, 0] == 1)
    north = sky._veil_share(sky.Motion(angle=90.0, speed=0.01), [10], 64)[0]
    assert north == pytest.approx(middle.T[::-1], abs=1e-6)


def test_flow_is_the_velocity_in_the_sky_and_zero_below() -> None:
    flow, mask = sky.sky_flow("train", 2, 32, time=3.0), sky.sky_mask("train", 2, 32)
    motion = sky.sky_motion("train", 2)
    assert flow.shape == (32, 32, 2)
    assert np.all(flow[mask < 0.5] == 0)
    dx, dy = flow[mask > 0.5].mean(0)
    assert directions.angular_error(directions.angle_of(dx, dy), motion.angle) < 1e-3
    assert np.hypot(dx, dy) == pytest.approx(3 * motion.speed * 32, rel=1e-5)


@pytest.mark.parametrize("size", [32, 64])
def test_direction_is_measurable(size: int) -> None:
    errors = []
    for index in range(12):
        video = from_levels(sky.render("eval", index, size, range(0, 17, 2)))
        measured = measure_direction(video, sky.sky_mask("eval", index, size))
        errors.append(directions.angular_error(measured, sky.sky_motion("eval", index).angle))
    assert np.mean(errors) < 5.0
