"""The classifier's losses and confusions on known logits; the effect of one step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.tasks import registry
from i2v_jax.tasks.classifier import Classifier


def classifier(arguments, *overrides):
    config = load(f"dtdb_i3d:{arguments}", overrides)
    return Classifier(config, registry.build(config)["classifier"])


@pytest.fixture(scope="module")
def task():
    return classifier("embedded", "classifier.network.width_divisor=16")


def test_the_release_s_network_is_the_default():
    network = classifier("frames=32").modules["classifier"]
    assert (network.classes, network.pool_frames, network.eps, network.dropout) == (18, 4, 1e-5, 0.5)
    assert network.width_divisor == 1
    assert network.shortest_clip == 25


def test_metrics_of_known_logits(task, monkeypatch):
    logits = jnp.log(jnp.asarray([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [0.2, 0.3, 0.2, 0.1, 0.1, 0.1]]))
    monkeypatch.setattr(Classifier, "_logits", lambda self, networks, batch: logits)
    metrics = task.evaluate({}, {"class": jnp.asarray([0, 2])}, jax.random.key(0))
    np.testing.assert_allclose(metrics["cross_entropy"], -np.log([0.5, 0.2]), rtol=1e-6)
    np.testing.assert_array_equal(metrics["accuracy"], [1, 0])
    confusion = np.asarray(metrics["confusion"])
    assert confusion.shape == (2, 6, 6)
    assert np.argwhere(confusion).tolist() == [[0, 0, 0], [1, 2, 1]]
    loss, (_, terms) = task.loss({}, logits, {"class": jnp.asarray([0, 2])}, jax.random.key(0))
    assert loss == pytest.approx(-np.log([0.5, 0.2]).mean(), rel=1e-6)
    assert terms["accuracy"] == 0.5


def test_training_drops_features_and_moves_the_statistics(task):
    batch = {"video": jnp.zeros((2, 16, 32, 32, 3)), "class": jnp.zeros(2, jnp.int32)}
    shapes = jax.eval_shape(task.init_variables, jax.random.key(0), batch)
    logits, changed = jax.eval_shape(task.forward, shapes, batch, jax.random.key(0))
    assert logits.shape == (2, 6)
    assert changed["classifier"].keys() == {"batch_stats"}
    assert jax.tree.structure(changed["classifier"]["batch_stats"]) == jax.tree.structure(
        shapes["classifier"]["batch_stats"]
    )
