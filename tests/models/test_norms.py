"""Group, instance and batch normalization against their definitions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.models.norms import BatchNorm, normalize_groups, normalize_instances


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("channels", "groups"), [(32, 16), (8, 8), (24, 12), (7, 7)])
def test_group_statistics(channels, groups):
    x = 3 + 2 * normal(2, 3, 4, 5, channels)
    expected = nn.GroupNorm(groups, epsilon=1e-5, use_scale=False, use_bias=False).apply({}, x)
    np.testing.assert_allclose(normalize_groups(x), expected, atol=1e-4)


def test_instance_statistics():
    y = np.asarray(normalize_instances(3 + 2 * normal(2, 3, 4, 5, 6)))
    np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2, 3)), 1, atol=1e-4)


def plain(x, scale, bias, groups, axes):
    """Returns the normalization, written with one mean and one variance over `axes` of [B, T, H, W, G, C / G]."""
    grouped = x.reshape(*x.shape[:-1], groups, -1)
    mean, variance = jnp.mean(grouped, axes, keepdims=True), jnp.var(grouped, axes, keepdims=True)
    y = ((grouped - mean) * jax.lax.rsqrt(variance + 1e-5)).reshape(x.shape)
    return y * scale.reshape(-1, 1, 1, 1, x.shape[-1]) + bias.reshape(-1, 1, 1, 1, x.shape[-1])


def batch_norm(x, scale, bias):
    module = BatchNorm(affine=False)
    return module.apply(module.init(jax.random.key(0), x), x, True, scale, bias, mutable=["batch_stats"])[0]


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("normalize", "groups", "axes"),
    [
        (normalize_instances, 8, (1, 2, 3, 5)),
        (lambda *args: normalize_groups(*args, groups=4), 4, (1, 2, 3, 5)),
        (lambda *args: normalize_groups(*args, groups=1), 1, (1, 2, 3, 5)),
        (batch_norm, 8, (0, 1, 2, 3, 5)),
    ],
)
def test_gradients_and_their_gradients(normalize, groups, axes, rows):
    """Those of a gradient penalty, too, against automatic differentiation of the definition."""
    args = 3 + 2 * normal(3, 2, 4, 5, 8), normal(rows, 8, seed=1), normal(rows, 8, seed=2)
    weights = normal(3, 2, 4, 5, 8, seed=3)

    def gradients(function):
        return jax.grad(lambda *args: jnp.sum(jnp.sin(function(*args)) * weights), (0, 1, 2))

    def second(function):
        def penalty(*args):
            return sum(jnp.sum(gradient**2) for gradient in gradients(function)(*args))

        return jax.grad(penalty, (0, 1, 2))

    for order in (gradients, second):
        expected = order(lambda *args: plain(*args, groups, axes))(*args)
        for ours, theirs in zip(order(normalize)(*args), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_the_running_statistics_have_no_gradient():
    x = jnp.asarray(normal(4, 3, 5))
    module = BatchNorm()
    variables = module.init(jax.random.key(0), x)

    def moved(x):
        return module.apply(variables, x, True, mutable=["batch_stats"])[1]["batch_stats"]["mean"].sum()

    assert not jax.grad(moved)(x).any()


def test_norm_statistics_are_float32():
    """In bfloat16 the error of the mean of 10^4 values near 100 would exceed 1."""
    x = jnp.asarray(100 + normal(1, 10000, 16), jnp.bfloat16)
    y = normalize_instances(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.mean(np.asarray(y, np.float32), axis=1), 0, atol=0.01)


def test_batch_norm_statistics_are_pytorch_s():
    x = 3 * np.random.default_rng(0).standard_normal((4, 3, 2, 5)).astype(np.float32) + 1
    module = BatchNorm(eps=1e-4)
    variables = module.init(jax.random.key(0), x)
    y, updates = module.apply(variables, x, train=True, mutable=["batch_stats"])
    flat = x.reshape(-1, 5)
    np.testing.assert_allclose(y, (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-4), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(updates["batch_stats"]["mean"], 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(updates["batch_stats"]["var"], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)
    evaluated = module.apply({**variables, **updates}, x)
    expected = (x - 0.1 * flat.mean(0)) / np.sqrt(0.9 + 0.1 * flat.var(0, ddof=1) + 1e-4)
    np.testing.assert_allclose(evaluated, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_sees_the_global_batch():
    x = np.random.default_rng(0).standard_normal((16, 3, 3, 4)).astype(np.float32)
    x += np.arange(16)[:, None, None, None]  # a device's own rows have another mean
    module = BatchNorm()
    variables = module.init(jax.random.key(0), x)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
    train = jax.jit(lambda x: module.apply(variables, x, train=True, mutable=["batch_stats"]))
    expected = train(x)
    for ours, alone in zip(jax.tree.leaves(train(sharded)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-5)
