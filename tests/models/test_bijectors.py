"""Each bijector against its Jacobian in float64, and its inverse in float32."""

import functools

import distrax
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.models import bijectors

D = 8


def _network(seed: int) -> bijectors.Conditioner:
    """Returns a small smooth (s, t) at the scale of an initialized linear layer."""
    weights = np.random.default_rng(seed).standard_normal((2, D // 2, D // 2)) / np.sqrt(D // 2)

    def conditioner(kept: jax.Array) -> tuple[jax.Array, jax.Array]:
        weight = jnp.asarray(weights, kept.dtype)
        return jnp.tanh(kept @ weight[0]), kept @ weight[1]

    return conditioner


def _actnorm() -> distrax.Bijector:
    rng = np.random.default_rng(1)
    signs = np.where(np.arange(D) % 2, -1.0, 1.0)
    return bijectors.ActNorm(rng.standard_normal(D), signs * rng.uniform(0.5, 2.0, D))


def _all() -> dict[str, distrax.Bijector]:
    permutation = jnp.asarray(np.random.default_rng(2).permutation(D))
    couplings = {
        f"double coupling {scale}": bijectors.double_coupling(_network(3), _network(4), scale)
        for scale in ("exp", "sigmoid", "softclamp")
    }
    layers = {
        "actnorm": _actnorm(),
        "inverse leaky relu": bijectors.InverseLeakyReLU(0.9),
        "coupling": bijectors.AffineCoupling(_network(5)),
        "shuffle": bijectors.Shuffle(permutation),
        "swap": bijectors.SwapHalves(),
        **couplings,
    }
    block = [layers[name] for name in ("actnorm", "inverse leaky relu", "double coupling exp", "shuffle")]
    return {**layers, "chain of two blocks": bijectors.chain(block * 2)}


NAMES = list(_all())


@pytest.mark.parametrize("name", NAMES)
def test_log_det_is_that_of_the_jacobian(name):
    with jax.enable_x64(True):
        bijector = _all()[name]
        x = jnp.asarray(np.random.default_rng(0).standard_normal((3, D)))
        y, log_det = bijector.forward_and_log_det(x)
        _, inverse_log_det = bijector.inverse_and_log_det(y)
        expected = jnp.linalg.slogdet(jax.vmap(jax.jacfwd(bijector.forward))(x))[1]
        expected_inverse = jnp.linalg.slogdet(jax.vmap(jax.jacfwd(bijector.inverse))(y))[1]
        assert log_det.dtype == jnp.float64
        np.testing.assert_allclose(log_det, expected, atol=1e-10)
        np.testing.assert_allclose(inverse_log_det, expected_inverse, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_in_float32(name):
    bijector = _all()[name]
    x = jnp.asarray(np.random.default_rng(0).standard_normal((16, D)), jnp.float32)
    y, log_det = bijector.forward_and_log_det(x)
    back, inverse_log_det = bijector.inverse_and_log_det(y)
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-4)


# XLA rounds numbers below 2.2e-308 to zero: what a slope makes of slightly larger ones has lost its side of the kink.
ENTRIES = st.floats(-100, 100).map(lambda x: x if abs(x) > 1e-300 else 0.0)


@functools.cache
def _there_and_back(name: str):
    """Compiled once for all examples: event -> (image, log_det, event again, log_det of the inverse)."""

    def run(x):
        bijector = _all()[name]
        y, log_det = bijector.forward_and_log_det(x)
        return y, log_det, *bijector.inverse_and_log_det(y)

    return jax.jit(run)


@pytest.mark.parametrize("name", NAMES)
@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(arrays.arrays(np.float64, (D,), elements=ENTRIES))
def test_every_event_comes_back(name, x):
    """Includes large, tiny, equal and zero entries, where an activation has its kink."""
    with jax.enable_x64(True):
        y, log_det, back, inverse_log_det = _there_and_back(name)(x)
        assert np.isfinite(y).all()
        np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_log_det_of_a_bfloat16_event_is_float32(name):
    x = jnp.ones((2, D), jnp.bfloat16)
    assert _all()[name].forward_and_log_det(x)[1].dtype == jnp.float32
    assert _all()[name].inverse_and_log_det(x)[1].dtype == jnp.float32


def test_chain_runs_the_first_bijector_first():
    shift = bijectors.ActNorm(jnp.ones(2), jnp.ones(2))
    double = bijectors.ActNorm(jnp.zeros(2), 2 * jnp.ones(2))
    np.testing.assert_array_equal(bijectors.chain([shift, double]).forward(jnp.zeros(2)), [2.0, 2.0])


def test_double_coupling_changes_every_entry():
    x = jnp.asarray(np.random.default_rng(0).standard_normal(D), jnp.float32)
    y = bijectors.double_coupling(_network(3), _network(4)).forward(x)
    assert not np.isin(np.asarray(y), np.asarray(x)).any()


def test_the_release_leaves_the_activation_out():
    x = -jnp.ones((1, D))
    _, log_det = bijectors.InverseLeakyReLU(0.9, exact=False).forward_and_log_det(x)
    assert log_det == 0
    _, log_det = bijectors.InverseLeakyReLU(0.9, exact=True).forward_and_log_det(x)
    np.testing.assert_allclose(log_det, D * np.log(0.9), rtol=1e-6)


@pytest.mark.parametrize(("scale", "low", "high"), [("sigmoid", 0, 2), ("softclamp", np.exp(-2), np.exp(2))])
def test_bounded_scales(scale, low, high):
    s = jnp.asarray([-50.0, 0.0, 50.0])
    factor = np.exp(bijectors.bounded_log_scale(s, scale))
    np.testing.assert_allclose(factor, [low, 1, high], rtol=1e-6, atol=1e-6)


def test_unknown_scale_is_named():
    with pytest.raises(UserError) as raised:
        bijectors.bounded_log_scale(jnp.zeros(1), "linear")
    assert (raised.value.field, raised.value.value) == ("scale", "linear")
