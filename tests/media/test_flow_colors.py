"""Optical flow in the colors of Middlebury."""

import numpy as np
import pytest

from i2v_jax import media


@pytest.mark.parametrize(
    ("vector", "color"),
    [
        ((0, 0), (255, 255, 255)),
        ((2, 0), (255, 0, 0)),
        ((0, 2), (255, 230, 0)),
        ((-2, 0), (0, 209, 255)),
        ((0, -2), (88, 0, 255)),
        ((1, 0), (255, 128, 128)),
        ((3, 0), (191, 0, 0)),
    ],
)
def test_the_hue_is_the_direction(vector: tuple[int, int], color: tuple[int, int, int]) -> None:
    """Values of the benchmark's program (Baker et al. 2011), which rounds down."""
    found = media.flow_colors(np.array([[vector]]), 2.0)[0, 0].astype(int)
    assert np.abs(found - color).max() <= 1


def test_the_longest_vector_has_the_full_color() -> None:
    flow = np.zeros((2, 3, 2))
    assert np.all(media.flow_colors(flow) == 255)
    flow[1, 2] = 0.01, 0.0
    assert media.flow_colors(flow)[1, 2].tolist() == [255, 0, 0]
    assert media.flow_colors(np.stack([flow, 2 * flow]))[0, 1, 2].tolist() == [255, 128, 128]


def test_the_wheel_shows_a_vector_where_it_ends() -> None:
    wheel = media.flow_wheel(101)
    assert wheel[50, 50].min() >= 250
    assert wheel[0, 0].tolist() == [255, 255, 255]
    for place, vector in (((50, 90), (0.8, 0.0)), ((20, 50), (0.0, -0.6))):
        expected = media.flow_colors(np.array([[vector]]), 1.0)[0, 0].astype(int)
        assert np.abs(wheel[place].astype(int) - expected).max() < 6
