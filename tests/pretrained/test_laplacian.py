import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.pretrained.laplacian import laplacian_distance


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_of_a_constant_difference_only_the_coarsest_band_is_left(epsilon):
    a = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 16, 16, 3)).astype(np.float32)
    offsets = np.array([0.0, 0.05, -0.4])
    distance = laplacian_distance(a, a + offsets[:, None, None, None], epsilon=epsilon)
    expected = 8 * (np.sqrt(offsets**2 + epsilon**2) - epsilon)
    np.testing.assert_allclose(distance, expected, rtol=1e-4, atol=1e-6)


def test_the_penalty_is_between_half_a_square_and_an_absolute_value():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-1, 1, (2, 2, 16, 16, 3)).astype(np.float32)
    assert np.all(laplacian_distance(a, b, epsilon=0.1) < laplacian_distance(a, b))
    near = a + 1e-3 * b  # where it is d^2 / (2 epsilon): twice the difference counts four times
    once, twice = (laplacian_distance(a, a + scale * (near - a), epsilon=0.1) for scale in (1.0, 2.0))
    np.testing.assert_allclose(twice / once, 4.0, rtol=0.01)


def test_small_errors_pull_less_than_large_ones():
    """The gradient is smaller where a band differs little than where it differs much; for L1 both are equal."""
    difference = np.zeros((1, 16, 16, 1), np.float32)
    difference[0, 4, 4], difference[0, 12, 12] = 0.01, 1.0

    def pulls(epsilon):
        gradient = jax.grad(lambda d: jnp.sum(laplacian_distance(d, 0.0 * d, levels=1, epsilon=epsilon)))(difference)
        return gradient[0, 4, 4, 0] / gradient[0, 12, 12, 0]

    assert pulls(0.0) == pytest.approx(1.0)
    assert pulls(0.1) == pytest.approx(0.1, rel=0.01)  # d / sqrt(d^2 + epsilon^2)
