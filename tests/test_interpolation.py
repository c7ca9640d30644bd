"""Weights of linear interpolation."""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np

from i2v_jax.interpolation import linear_weights


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(1, 9), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_weights_interpolate_as_numpy_does(size, shares):
    positions = np.array(shares) * (size - 1)
    weights = linear_weights(positions, size)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-9)
    nodes = np.random.default_rng(size).standard_normal(size)
    np.testing.assert_allclose(weights @ nodes, np.interp(positions, np.arange(size), nodes), atol=1e-9)


def test_traced_positions_have_the_same_weights():
    positions = np.array([[0.0, 0.25], [1.5, 3.0]], np.float32)
    traced = jax.jit(lambda places: linear_weights(places, 4))(positions)
    np.testing.assert_array_equal(traced, linear_weights(positions, 4))
