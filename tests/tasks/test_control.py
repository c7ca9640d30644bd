"""The encoding of controls, against values worked out by hand from the spec."""

import jax
import numpy as np
import pytest

from i2v_jax.input import directions
from i2v_jax.tasks import control


def test_directions_are_those_of_the_data() -> None:
    assert directions.NUM_DIRECTIONS == control.DIRECTION_BINS


def test_endpoint_bins_truncate_towards_zero_and_clip() -> None:
    minimum = np.array([0.42638585, -0.3080245, 0.19146784], np.float32)
    extent = np.array([0.42850533, 0.54029283, 0.12564658], np.float32)
    fractions = np.array(
        [
            [0.0, 0.05, 0.15],  # 10 p - 1e-4: -0.0001, 0.4999, 1.4999
            [0.99, 1.0, 1.2],  # 9.8999, 9.9999, 11.9999
            [-0.05, -0.5, 0.3001],  # -0.5001, -5.0001, 3.0009
            [0.2001, 0.19995, 0.5],  # 2.0009, 1.9994, 4.9999
        ]
    )
    bins = control.endpoint_bins((minimum + fractions * extent).astype(np.float32))
    assert bins.tolist() == [[0, 0, 1], [9, 9, 9], [0, 0, 3], [2, 1, 4]]


def test_one_hots() -> None:
    directions = np.asarray(control.encode_control("direction", np.array([0, 9, 35])))
    assert directions.shape == (3, 36)
    assert directions.argmax(axis=1).tolist() == [0, 9, 35]
    assert directions.sum() == 3

    position = np.array([[0.42638585 + 0.5 * 0.42850533, -0.3080245, 0.19146784 + 0.12564658]], np.float32)
    endpoint = np.asarray(control.encode_control("endpoint", position))
    assert endpoint.shape == (1, 30)
    assert np.flatnonzero(endpoint[0]).tolist() == [4, 10 + 0, 20 + 9]

    assert control.encode_control("none", np.zeros((5, 3))).shape == (5, 0)


def test_width_is_that_of_the_one_hots() -> None:
    values = {"none": np.zeros(2), "direction": np.zeros(2, int), "endpoint": np.zeros((2, 3))}
    for kind in ("none", "direction", "endpoint"):
        assert control.encode_control(kind, values[kind]).shape[1] == control.control_width(kind)


def test_random_controls_cover_the_bins() -> None:
    drawn = np.asarray(control.random_control("direction", jax.random.key(0), 2000))
    assert (drawn.sum(axis=1) == 1).all()
    assert (drawn.sum(axis=0) > 20).all()  # 55.6 expected per bin, with a standard deviation of 7.4
    endpoints = np.asarray(control.random_control("endpoint", jax.random.key(1), 500)).reshape(500, 3, 10)
    assert (endpoints.sum(axis=2) == 1).all()
    assert (endpoints.sum(axis=0) > 15).all()  # 50 expected, with a standard deviation of 6.7
    assert control.random_control("none", jax.random.key(2), 4).shape == (4, 0)


def test_an_unknown_control_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown control 'speed'"):
        control.encode_control("speed", np.zeros(2))  # type: ignore[arg-type]
