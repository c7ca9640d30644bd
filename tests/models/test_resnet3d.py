"""The video encoder at sizes other than the fixtures'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.models.posterior import Posterior
from i2v_jax.models.resnet3d import VideoEncoder
from tests.models.random_variables import random_variables

ENCODER = VideoEncoder(z_dim=8, channels=(16, 16, 32, 32, 32), stride_t=(1, 2, 2, 2), stride_s=(1, 2, 2, 1))


def test_bfloat16_computes_the_same_with_float32_parameters():
    video = np.random.default_rng(0).uniform(-1, 1, (2, 16, 32, 32, 3)).astype(np.float32)
    variables = random_variables(ENCODER, video)
    shapes = jax.eval_shape(ENCODER.clone(dtype=jnp.bfloat16).init, jax.random.key(0), video)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    half = jax.jit(ENCODER.clone(dtype=jnp.bfloat16).apply)(variables, video)
    full = jax.jit(ENCODER.apply)(variables, video)
    assert half.mean.dtype == jnp.float32
    # bfloat16 keeps 8 bits; errors of 18 layers add up to a few per cent
    assert np.linalg.norm(half.mean - full.mean) < 0.05 * np.linalg.norm(full.mean)
    assert np.linalg.norm(half.logvar - full.logvar) < 0.05 * np.linalg.norm(full.logvar)


@pytest.mark.parametrize("depth", ["resnet34", "resnet50", "resnet101"])
def test_deeper_trunks(depth):
    shapes = jax.eval_shape(ENCODER.clone(depth=depth).init, jax.random.key(0), jnp.zeros((1, 16, 32, 32, 3)))
    trunk = shapes["params"]["trunk"]
    blocks = {"resnet34": 3 + 4 + 6 + 3, "resnet50": 3 + 4 + 6 + 3, "resnet101": 3 + 4 + 23 + 3}[depth]
    assert sum(name.startswith("stage") for name in trunk) == blocks
    assert ("conv3" in trunk["stage0_block0"]) == (depth != "resnet34")


def test_a_video_of_the_wrong_size_is_refused():
    with pytest.raises(UserError) as raised:
        jax.eval_shape(ENCODER.init, jax.random.key(0), jnp.zeros((1, 16, 64, 64, 3)))
    assert (raised.value.field, raised.value.value) == ("stride_t, stride_s", (1, 8, 8))


def test_kl_of_a_gaussian_against_its_integral():
    mean, logvar = 0.7, -0.4
    grid = np.linspace(-12, 12, 20001)
    log_q = -0.5 * ((grid - mean) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi))
    log_p = -0.5 * (grid**2 + np.log(2 * np.pi))
    integral = np.trapezoid(np.exp(log_q) * (log_q - log_p), grid)
    kl = Posterior(jnp.full((3, 2), mean), jnp.full((3, 2), logvar)).kl()
    np.testing.assert_allclose(kl, [2 * integral] * 3, rtol=1e-5)


def test_samples_have_the_posterior_s_moments():
    posterior = Posterior(jnp.full((1, 20000), 2.0), jnp.full((1, 20000), 2 * np.log(3.0)))
    draws = np.asarray(posterior.sample(jax.random.key(0)))
    assert draws.mean() == pytest.approx(2, abs=0.1)
    assert draws.std() == pytest.approx(3, abs=0.1)


def test_too_few_channels_are_named():
    with pytest.raises(UserError) as raised:
        jax.eval_shape(ENCODER.clone(channels=(3,)).init, jax.random.key(0), jnp.zeros((1, 16, 32, 32, 3)))
    assert raised.value.field == "channels, stride_t, stride_s"
    assert raised.value.value == ((3,), ENCODER.stride_t, ENCODER.stride_s)
