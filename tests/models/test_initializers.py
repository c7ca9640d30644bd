import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax import config_files
from i2v_jax.models import initializers
from i2v_jax.models.initializers import init_together
from i2v_jax.tasks import registry
from tests.models.random_variables import random_variables


@pytest.fixture(scope="module")
def network():
    """Returns the narrow 3D discriminator, whose blocks are rematerialized, and variables that share draws."""
    config = config_files.load("bair:runlocal", ["video_vae.remat=all"])
    module = registry.build(config)["video_vae"]["temporal_discriminator"]
    clip = jnp.zeros((1, config.video_vae.loss.window, 64, 64, 3))
    return module, clip, jax.jit(lambda rng: init_together(module, rng, clip))(jax.random.key(0))


def test_shared_draws_give_each_parameter_numbers_of_its_own(network):
    module, clip, variables = network
    shapes = jax.tree.map(jnp.shape, random_variables(module, clip))
    assert jax.tree.map(jnp.shape, variables) == shapes
    drawn = [leaf for leaf in jax.tree.leaves(variables) if np.std(leaf) > 0]
    firsts = [leaf.ravel()[:8].tolist() for leaf in drawn]
    assert len(drawn) > 10
    assert len({number for first in firsts for number in first}) == sum(map(len, firsts))


def test_shared_draws_depend_on_the_key(network):
    module, clip, variables = network
    others = jax.jit(lambda rng: init_together(module, rng, clip))(jax.random.key(1))
    same = [np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (variables, others)), strict=True)]
    constant = [np.std(leaf) == 0 for leaf in jax.tree.leaves(variables)]
    assert same == constant


class Alone:
    """Initializes one parameter."""

    def __init__(self, initializer, shape):
        self.initializer, self.shape = initializer, shape

    def init(self, rng):
        return {"parameter": self.initializer(rng, self.shape)}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("initializer", "deviation", "largest"),
    [
        (initializers.uniform_fan_in, 1 / 3**0.5 / 45**0.5, 1 / 45**0.5),
        (initializers.uniform_bias(45), 1 / 3**0.5 / 45**0.5, 1 / 45**0.5),
        (initializers.kaiming_fan_out, (2 / 9000) ** 0.5, None),
        (initializers.normal_with(0.02), 0.02, None),
    ],
    ids=["uniform_fan_in", "uniform_bias", "kaiming_fan_out", "normal_with"],
)
def test_distributions(initializer, deviation, largest, together):
    """Of 45,000 numbers, the deviation and the mean are within five of their own standard deviations."""
    module = Alone(initializer, (3, 3, 5, 1000))
    key = jax.random.key(0)
    values = np.asarray((init_together(module, key) if together else module.init(key))["parameter"])
    assert np.std(values) == pytest.approx(deviation, rel=0.02)
    assert abs(np.mean(values)) < 0.025 * deviation
    if largest:
        assert 0.999 * largest < np.max(np.abs(values)) <= largest


@pytest.mark.parametrize("shape", [(3, 3, 3, 8, 12), (16, 16), (2, 40), (5, 1), (1, 1)], ids=str)
def test_orthogonal(shape):
    q = np.asarray(initializers.orthogonal(jax.random.key(0), shape)).reshape(-1, shape[-1])
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(12, 40), (24, 24), (1, 1)], ids=str)
def test_what_a_tpu_computes_is_the_same(shape):
    """A square matrix multiplies rounding errors by its condition number, some hundreds here."""
    a = jax.random.normal(jax.random.key(0), shape)
    expected = initializers.orthonormal_rows(a)
    np.testing.assert_allclose(jax.jit(initializers.gram_schmidt)(a), expected, rtol=0, atol=1e-4)
