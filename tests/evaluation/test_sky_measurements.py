"""The measurements, against motion that is known."""

import numpy as np
import pytest

from i2v_jax.evaluation import sky_measurements


def test_held_out_clips_are_those_of_the_sky() -> None:
    clips = sky_measurements.held_out(4, 32)
    assert clips.video.shape == (4, 17, 32, 32, 3)
    assert clips.video.min() >= -1
    assert clips.video.max() <= 1
    bins = clips.control.argmax(axis=1)
    assert np.abs(sky_measurements.angular_errors(clips.degrees, 10 * bins + 5)).max() <= 5


def test_circular_deviation() -> None:
    assert sky_measurements.circular_deviation(np.array([350.0, 350.0])) == pytest.approx(0, abs=1e-3)
    # Two directions 2a apart have R = cos a.
    expected = np.degrees(np.sqrt(-2 * np.log(np.cos(np.radians(20)))))
    assert sky_measurements.circular_deviation(np.array([350.0, 30.0])) == pytest.approx(expected)
    assert sky_measurements.circular_deviation(np.arange(0, 360, 10.0)) > 300
