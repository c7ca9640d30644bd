"""The stage-2 objective on known values, and the steps at which its parts begin."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.configs import common
from i2v_jax.models import biggan
from i2v_jax.models.posterior import Posterior
from i2v_jax.tasks.image_ae import ImageAE, Outputs
from tests.models.random_variables import random_variables

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
BATCH = {"video": IMAGES[:, None]}
FEATURES = RNG.normal(size=(2, 8, 8, 4)).astype(np.float32)


def make_task(steps_per_epoch=10, **loss):
    config = common.base(32)
    config.image_ae.adversarial_epoch = 1.75
    config.image_ae.loss.update(perceptual_network="laplacian", **loss)
    return ImageAE(config, {"decoder": types.SimpleNamespace(dtype=jnp.float32)}, steps_per_epoch)


def make_outputs(features=None):
    posterior = Posterior(jnp.asarray([[0.5, -1.0], [0.0, 2.0]]), jnp.asarray([[0.0, 0.4], [-0.3, 0.1]]))
    reconstruction = RNG.uniform(-1, 1, IMAGES.shape).astype(np.float32)
    return Outputs(posterior, features, jnp.asarray(reconstruction))


def test_the_reconstruction_is_summed_over_pixels_with_the_distance_at_each():
    task, outputs = make_task(perceptual=0.5, kl=0.25), make_outputs()
    task.distance = lambda networks, a, b: jnp.asarray([0.125, 0.5])
    loss, (_, metrics) = task.reconstruction_loss({}, outputs, BATCH, jax.random.key(0))
    difference = np.abs(np.asarray(outputs.images, np.float64) - IMAGES)
    pixels = difference.sum(axis=(1, 2, 3)) + 0.5 * np.array([0.125, 0.5]) * 8 * 8 * 3
    mean, logvar = (np.asarray(part, np.float64) for part in (outputs.posterior.mean, outputs.posterior.logvar))
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
    assert metrics["reconstruction"] == pytest.approx(pixels.mean(), rel=1e-5)
    assert metrics["l1"] == pytest.approx(difference.mean(), rel=1e-5)
    assert metrics["perceptual"] == pytest.approx(0.3125)
    assert metrics["kl"] == pytest.approx(kl.mean(), rel=1e-5)
    assert loss == metrics["loss"] == pytest.approx(pixels.mean() + 0.25 * kl.mean(), rel=1e-5)


@pytest.fixture(scope="module")
def weigh():
    """Compiled (features, images, scale) -> loss, pretraining loss, metrics, of the decoder's last layer alone.

    The reconstruction loss is the mean over images of their sum; the adversarial gradient is `scale` times it.
    """
    task = make_task(perceptual=0.0, adversarial=0.5)
    batch = {"video": jnp.full_like(BATCH["video"], -1.0)}
    layer = random_variables(biggan.output_layer(jnp.float32), FEATURES)
    networks = {"decoder": {name: {"generator": {"output": tree}} for name, tree in layer.items()}}

    @jax.jit
    def run(features, images, scale):
        task._discriminate = lambda networks, images: scale * jnp.sum(images, axis=(1, 2, 3))
        outputs = make_outputs(features).replace(images=images)
        loss, (_, metrics) = task.generator_loss(networks, outputs, batch, jax.random.key(0))
        return loss, task.reconstruction_loss(networks, outputs, batch, jax.random.key(0))[0], metrics

    return run


@pytest.mark.parametrize(("scale", "weight"), [(1.0, 1.0), (0.25, 4.0), (-4.0, 0.25), (0.0, 1e4)])
def test_the_adversarial_gradient_is_weighed_like_that_of_the_reconstruction(weigh, scale, weight):
    """Tests gradients much larger than 1e-4; without a gradient of the discriminator the weight is its upper bound."""
    loss, evidence, metrics = weigh(FEATURES, IMAGES, scale)
    adversarial = -scale * IMAGES.sum(axis=(1, 2, 3)).mean()
    assert metrics["adaptive_weight"] == pytest.approx(weight, rel=1e-4)
    assert metrics["generator"] == pytest.approx(adversarial, rel=1e-4, abs=1e-4)
    assert loss == pytest.approx(float(evidence) + 0.5 * weight * adversarial, rel=1e-4)


def test_the_weight_of_small_gradients(weigh):
    """R / (s R + 1e-4): R follows from s = 1."""

    def weight(scale):
        return float(weigh(1e-6 * FEATURES, IMAGES, scale)[2]["adaptive_weight"])

    norm = 1e-4 * weight(1.0) / (1 - weight(1.0))
    assert 1e-6 < norm < 1e-3
    for scale in (0.1, 3.0, 30.0):
        assert weight(scale) == pytest.approx(norm / (scale * norm + 1e-4), rel=1e-3)


def test_the_adversarial_game_begins_after_its_epoch():
    """With 1.75 epochs of 10 steps the autoencoder trains alone for 18 steps."""
    updates = make_task().updates
    active = {step: [update.name for update in updates if update.runs_at(step)] for step in (0, 17, 18, 10**6)}
    assert active == {
        0: ["pretraining"],
        17: ["pretraining"],
        18: ["generator", "discriminator"],
        10**6: ["generator", "discriminator"],
    }
    networks = {update.name: update.networks for update in updates}
    assert networks["discriminator"] == ("patch_discriminator",)
    assert networks["generator"] == networks["pretraining"] == ("encoder", "decoder")


def test_every_rate_follows_the_reconstruction():
    assert {update.monitor for update in make_task().updates} == {"reconstruction"}
