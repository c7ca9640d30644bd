"""Properties of the LPIPS distance. Its values are checked against the fixtures in interop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.pretrained.networks.lpips import LPIPS
from tests.models.random_variables import random_variables


@pytest.fixture(scope="module")
def setup():
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 2, 16, 16, 3)).astype(np.float32)
    variables = random_variables(LPIPS(), a, b)
    heads = {name: np.abs(value) for name, value in variables["params"].items() if name != "vgg"}
    return {"params": {**variables["params"], **heads}}, a, b


def test_is_symmetric_and_zero_on_equal_images(setup):
    variables, a, b = setup
    distance = jax.jit(LPIPS().apply)
    forth, back, same = distance(variables, a, b), distance(variables, b, a), distance(variables, a, a)
    np.testing.assert_allclose(forth, back, rtol=1e-6)
    assert np.all(forth > 0)
    # zero but for the last bit of features in [0, 1]: the two passes need not be fused alike
    np.testing.assert_allclose(same, 0, atol=5 * np.finfo(np.float32).eps ** 2)


def test_gradient_is_finite_where_no_feature_is_active(setup):
    variables, a, b = setup
    dead = jax.tree.map(np.zeros_like, variables["params"]["vgg"])
    params = {**variables["params"], "vgg": dead}
    gradient = jax.jit(jax.grad(lambda p, b: LPIPS().apply({"params": p}, a, b).sum(), argnums=(0, 1)))(params, b)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_bfloat16_gives_a_float32_distance_close_to_the_exact_one(setup):
    variables, a, b = setup
    narrow = jax.jit(LPIPS(jnp.bfloat16).apply)(variables, a, b)
    assert narrow.dtype == jnp.float32
    np.testing.assert_allclose(narrow, jax.jit(LPIPS().apply)(variables, a, b), rtol=0.02)
