import pytest

from i2v_jax.input import directions


@pytest.mark.parametrize(("dx", "dy", "angle"), [(1, 0, 0), (0, -1, 90), (-1, 0, 180), (0, 1, 270), (1, -1, 45)])
def test_angle_is_counted_from_right_upwards(dx: float, dy: float, angle: float) -> None:
    assert directions.angle_of(dx, dy) == pytest.approx(angle)


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, 0), (9.999, 0), (10, 1), (359.9, 35), (360, 0), (-1, 35), (-1e-15, 0)]
)
def test_bins(degrees: float, expected: int) -> None:
    assert directions.direction_bin(degrees) == expected


def test_mirroring_a_bin_mirrors_its_center() -> None:
    for direction in range(36):
        mirrored = directions.bin_center(directions.mirrored_bin(direction))
        assert directions.angular_error(mirrored, 180 - directions.bin_center(direction)) == pytest.approx(0, abs=1e-9)


def test_angular_error_takes_the_short_way() -> None:
    assert directions.angular_error(350, 20) == pytest.approx(30)
    assert directions.angular_error(0, 180) == pytest.approx(180)
