"""Conversions of pixel ranges are inverse to each other and stay within bounds."""

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax import pixels

_SHAPES = arrays.array_shapes(max_dims=3, max_side=4)
_LEVELS = arrays.arrays(np.uint8, _SHAPES)
_SIGNED = arrays.arrays(np.float32, _SHAPES, elements=st.floats(-1, 1, width=32))
_ANY = arrays.arrays(
    np.float32, _SHAPES, elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from((np.nan, np.inf, -np.inf))
)


@hypothesis.settings(deadline=None)
@hypothesis.given(_LEVELS)
def test_levels_survive_a_round_trip(levels):
    signed = pixels.from_levels(levels)
    assert signed.dtype == np.float32 and signed.shape == levels.shape
    assert np.all(np.abs(signed) <= 1 + 1e-6)
    np.testing.assert_array_equal(pixels.to_uint8(signed), levels)
    np.testing.assert_allclose(pixels.to_levels(signed), levels, atol=1e-4)


@hypothesis.settings(deadline=None)
@hypothesis.given(_SIGNED)
def test_signed_pixels_are_off_by_at_most_half_a_level(signed):
    np.testing.assert_allclose(pixels.from_levels(pixels.to_uint8(signed)), signed, atol=0.5 / 127.5 + 1e-6)
    np.testing.assert_allclose(pixels.from_levels(pixels.to_levels(signed)), signed, atol=1e-6)


@hypothesis.settings(deadline=None)
@hypothesis.given(_ANY)
def test_any_float_becomes_a_level(values):
    levels = pixels.to_uint8(values)
    assert levels.dtype == np.uint8
    assert np.all(levels[np.isnan(values) | (values <= -1)] == 0)
    assert np.all(levels[values >= 1] == 255)
    np.testing.assert_array_equal(pixels.to_uint8(levels), levels)


@hypothesis.settings(deadline=None)
@hypothesis.given(arrays.arrays(np.float32, 8, elements=st.floats(-1, 1, width=32)))  # one shape: JAX compiles for each
def test_unit_pixels_and_whole_levels(signed):
    unit = pixels.to_unit(signed)
    assert np.all((unit >= 0) & (unit <= 1))
    np.testing.assert_allclose(2 * unit - 1, signed, atol=1e-6)
    lost = signed - np.asarray(pixels.truncated(jnp.asarray(signed)))
    assert np.all((lost > -1e-6) & (lost < 1 / 127.5 + 1e-6))


@pytest.mark.parametrize("convert", [pixels.to_levels, pixels.to_unit])
def test_numpy_and_jax_give_the_same(convert):
    signed = np.linspace(-1, 1, 7, dtype=np.float32)
    np.testing.assert_array_equal(convert(jnp.asarray(signed)), convert(signed))
