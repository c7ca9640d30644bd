"""I3D at other sizes and in training. Its values are checked against the fixtures in interop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.pretrained.networks.i3d import I3D, Unit, same_max_pool, same_padding
from tests.models.random_variables import random_variables


@pytest.mark.parametrize(("network", "shortest"), [(I3D(), 9), (I3D(18, pool_frames=4), 25)])
def test_shortest_clip(network, shortest):
    assert network.shortest_clip == shortest
    clip = jnp.zeros((1, shortest, 224, 224, 3))
    shapes = jax.eval_shape(network.init_with_output, jax.random.key(0), clip)[0]
    assert shapes.logits.shape == (1, network.classes) and shapes.pooled.shape == (1, 1024)
    with pytest.raises(UserError) as raised:
        jax.eval_shape(network.init, jax.random.key(0), clip[:, 1:])
    assert (raised.value.field, raised.value.value) == ("frames", shortest - 1)


@pytest.mark.parametrize(
    ("size", "window", "stride"), [(16, 7, 2), (17, 7, 2), (5, 3, 2), (4, 3, 2), (3, 2, 2), (7, 3, 1)]
)
def test_same_padding_is_that_of_tensorflow(size, window, stride):
    (expected,) = jax.lax.padtype_to_pads((size,), (window,), (stride,), "SAME")
    assert same_padding(size, window, stride) == tuple(expected)


def test_unit_and_pool_pad_odd_clips_as_tensorflow():
    x = np.random.default_rng(0).standard_normal((1, 5, 9, 8, 3)).astype(np.float32)
    unit = Unit(4, 7, 2)
    variables = random_variables(unit, x)
    kernel = variables["params"]["conv"]["kernel"]
    numbers = ("NDHWC", "DHWIO", "NDHWC")
    y = jax.lax.conv_general_dilated(x, kernel, (2, 2, 2), "SAME", dimension_numbers=numbers)
    norm = {**variables["params"]["norm"], **variables["batch_stats"]["norm"]}
    expected = np.maximum((y - norm["mean"]) / np.sqrt(norm["var"] + 1e-3) * norm["scale"] + norm["bias"], 0)
    np.testing.assert_allclose(unit.apply(variables, x), expected, rtol=1e-4, atol=1e-5)
    pooled = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 3, 3, 2, 1), (1, 2, 2, 2, 1), "SAME")
    np.testing.assert_array_equal(same_max_pool(x, (3, 3, 2), (2, 2, 2)), pooled)


def test_the_pool_is_the_mean_over_all_windows_of_steps():
    video = np.random.default_rng(0).uniform(-1, 1, (2, 17, 32, 32, 3)).astype(np.float32)
    variables = random_variables(I3D(18), video)
    run = jax.jit(
        lambda variables: I3D(18).apply(variables, video, capture_intermediates=True, mutable="intermediates")
    )
    features, state = run(variables)
    (last,) = state["intermediates"]["mixed_5c"]["__call__"]
    assert last.shape == (2, 3, 1, 1, 1024)
    first, second, third = np.moveaxis(last[:, :, 0, 0], 1, 0)
    expected = ((first + second) / 2 + (second + third) / 2) / 2
    np.testing.assert_allclose(features.pooled, expected, rtol=1e-5, atol=1e-6)
    linear = variables["params"]["logits"]
    np.testing.assert_allclose(features.logits, expected @ linear["kernel"] + linear["bias"], rtol=1e-4, atol=1e-5)


def test_training_uses_the_statistics_of_the_batch_and_drops_features():
    network = I3D(18, eps=1e-5, dropout=0.5)
    video = np.random.default_rng(0).uniform(-1, 1, (3, 9, 32, 32, 3)).astype(np.float32)
    variables = random_variables(network, video)

    @jax.jit
    def run(variables, seed):
        rngs = {"dropout": jax.random.key(seed)}
        return network.apply(variables, video, train=True, rngs=rngs, mutable=["batch_stats"])

    (one, changed), (other, _) = run(variables, 0), run(variables, 1)
    np.testing.assert_array_equal(one.pooled, other.pooled)
    assert not np.allclose(one.logits, other.logits)

    stem = Unit(64, 7, 2, 1e-5)
    kernel = variables["params"]["conv3d_1a_7x7"]["conv"]["kernel"]
    numbers = ("NDHWC", "DHWIO", "NDHWC")
    y = jax.lax.conv_general_dilated(video, kernel, (2, 2, 2), "SAME", dimension_numbers=numbers)
    before, after = (tree["batch_stats"]["conv3d_1a_7x7"]["norm"] for tree in (variables, changed))
    np.testing.assert_allclose(after["mean"], 0.9 * before["mean"] + 0.1 * np.mean(y, (0, 1, 2, 3)), atol=1e-5)
    own = {name: tree["conv3d_1a_7x7"] for name, tree in variables.items()}
    normalized, _ = stem.apply(own, video, train=True, mutable=["batch_stats"])
    affine = variables["params"]["conv3d_1a_7x7"]["norm"]
    expected = (y - np.mean(y, (0, 1, 2, 3))) / np.sqrt(np.var(y, (0, 1, 2, 3)) + 1e-5) * affine["scale"]
    np.testing.assert_allclose(normalized, np.maximum(expected + affine["bias"], 0), atol=1e-4)
