"""Optimisers do what their names say."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import plants, sky
from i2v_jax.errors import UserError
from i2v_jax.training.optimizers import learning_rate_schedule, make_optimizer


def test_muon_moves_all_directions_of_a_kernel_alike_and_vectors_as_adam():
    config = sky.get_config("demo").video_vae.optimizer
    config.update(name="muon", learning_rate=1e-2, b1=0.9, b2=0.99, decay=1.0)
    rng = np.random.default_rng(0)
    left, right = np.linalg.qr(rng.normal(size=(36, 4)))[0], np.linalg.qr(rng.normal(size=(4, 4)))[0]
    kernel = (left * [1.0, 0.3, 0.1, 0.05]) @ right.T
    gradients = {"kernel": jnp.asarray(kernel.reshape(3, 3, 4, 4)), "bias": jnp.asarray([1.0, -0.1, 0.01, -1e-3])}
    optimizer = make_optimizer(config.copy_and_resolve_references(), steps_per_epoch=10)
    updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    step = np.asarray(updates["kernel"]).reshape(36, 4)
    strengths = np.diag(left.T @ step @ right)
    # The Newton-Schulz iterations bring every singular value into about 0.7 to 1.2; 36x4 of root mean square 1 has 6.
    assert np.all(strengths < 0)
    assert np.all(np.abs(strengths) > 0.65 * 6 * 1e-2)
    assert np.all(np.abs(strengths) < 1.25 * 6 * 1e-2)
    first = 1 + 0.9 / (1 + 0.9)  # Nesterov's look ahead on the first of Adam's steps, which is a sign
    np.testing.assert_allclose(updates["bias"], -1e-2 * first * np.sign(gradients["bias"]), rtol=1e-3)


def test_muon_takes_stacked_kernels_one_by_one_and_their_biases_as_vectors():
    config = sky.get_config("demo").video_vae.optimizer
    config.name = "muon"
    optimizer = make_optimizer(config.copy_and_resolve_references(), steps_per_epoch=10)
    gradients = {"kernel": jax.random.normal(jax.random.key(0), (2, 6, 4)), "bias": jnp.ones((2, 4))}
    together, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    for member in range(2):
        alone = jax.tree.map(operator.itemgetter(member), gradients)
        expected, _ = optimizer.update(alone, optimizer.init(alone), alone)
        for name, update in expected.items():
            np.testing.assert_allclose(together[name][member], update, rtol=1e-5, atol=1e-7)


def test_an_unknown_optimizer_is_one_clear_line():
    config = sky.get_config("demo").video_vae.optimizer
    config.name = "sgd"
    with pytest.raises(UserError, match=r"optimizer\.name=sgd: choose adam, amsgrad, muon"):
        make_optimizer(config, steps_per_epoch=10)


def test_the_rate_falls_at_milestones():
    config = plants.get_config().poke.optimizer
    schedule = learning_rate_schedule(config, steps_per_epoch=4)
    rates = [float(schedule(step)) for step in (0, 39, 40, 99, 100, 199, 200, 10_000)]
    np.testing.assert_allclose(rates, 1e-4 * np.array([1, 1, 0.3, 0.3, 0.09, 0.09, 0.027, 0.027]), rtol=1e-5)


def test_the_rate_falls_in_steps():
    config = sky.get_config().flow.optimizer
    config.update(learning_rate=1.0, decay=0.5, decay_epochs=2)
    schedule = learning_rate_schedule(config, steps_per_epoch=10)
    assert [float(schedule(step)) for step in (0, 19, 20, 39, 40)] == [1.0, 1.0, 0.5, 0.5, 0.25]
