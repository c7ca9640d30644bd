"""The networks of the video cVAE-GAN compute the authors' functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.models import bijectors
from i2v_jax.models.actnorm import ActNorm
from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures

unbiased_std = functools.partial(np.std, ddof=1)


def channels_last(array):
    return np.moveaxis(array, -3, -1)


def assert_close(ours, reference, tolerance):
    """Compares relative to the largest absolute value of the reference."""
    assert np.shape(ours) == reference.shape
    assert np.max(np.abs(ours - reference)) <= tolerance * np.max(np.abs(reference))


def assert_gradient_norms(network, fixture, gradients):
    prefix = "grad_norm/"
    expected = {key.removeprefix(prefix): norm for key, norm in fixture.outputs.items() if key.startswith(prefix)}
    ours = to_torch(network, {"params": jax.device_get(gradients)}, fixture.config)
    ours = {key: np.linalg.norm(value) for key, value in ours.items() if key in expected}
    assert ours.keys() == expected.keys()
    for key, norm in expected.items():
        assert ours[key] == pytest.approx(norm, rel=1e-3, abs=1e-6), key


@pytest.mark.parametrize("data", ["bair", pytest.param("landscape", marks=pytest.mark.slow)])
def test_video_encoder(data):
    fixture = fixtures.load(f"video_encoder_{data}")
    module, variables = load_torch("video_encoder", fixture.state, fixture.config)

    @jax.jit
    def run(params, video):
        def loss(params):
            posterior = module.apply({"params": params}, video)
            cotangents = fixture.inputs["cotangent_mean"], fixture.inputs["cotangent_logvar"]
            return jnp.mean(posterior.mean * cotangents[0] + posterior.logvar * cotangents[1]), posterior

        return jax.grad(loss, has_aux=True)(params)

    gradients, posterior = run(variables["params"], channels_last(fixture.inputs["video"]))
    assert_close(posterior.mean, fixture.outputs["mean"], fixture.tolerance)
    assert_close(posterior.logvar, fixture.outputs["logvar"], fixture.tolerance)
    assert_gradient_norms("video_encoder", fixture, gradients)


@pytest.mark.parametrize("data", ["bair", pytest.param("landscape", marks=pytest.mark.slow)])
def test_video_decoder(data):
    fixture = fixtures.load(f"video_decoder_{data}_nf16")
    module, variables = load_torch("video_decoder", fixture.state, fixture.config)
    start_frame, cotangent = (channels_last(fixture.inputs[name]) for name in ("start_frame", "cotangent"))

    @jax.jit
    def run(params, spectral):
        def loss(params):
            video = module.apply({"params": params, "spectral": spectral}, start_frame, fixture.inputs["z"])
            return jnp.mean(video * cotangent), video

        return jax.grad(loss, has_aux=True)(params)

    @jax.jit
    def power_iteration(variables):
        return module.apply(variables, start_frame, fixture.inputs["z"], train=True, mutable=["spectral"])

    gradients, video = run(variables["params"], variables["spectral"])
    stride = fixture.config["video_stride"]
    assert_close(video[:, :, ::stride, ::stride], channels_last(fixture.outputs["video"]), fixture.tolerance)
    for statistic, name in ((np.mean, "mean"), (unbiased_std, "std")):
        ours = statistic(np.asarray(video), axis=(2, 3, 4))
        # the mean of values around zero: relative to the values, not to their mean
        tolerance = fixture.tolerance * np.max(np.abs(fixture.outputs["video"]))
        np.testing.assert_allclose(ours, fixture.outputs[f"video_{name}_per_frame"], rtol=0, atol=tolerance)
    assert_gradient_norms("video_decoder", fixture, gradients)

    trained, changed = power_iteration(variables)
    ours = unbiased_std(np.asarray(trained), axis=(2, 3, 4))
    assert_close(ours, fixture.outputs["train_mode/video_std_per_frame"], fixture.tolerance)
    assert not np.allclose(changed["spectral"]["block0"]["conv0"]["u"], variables["spectral"]["block0"]["conv0"]["u"])


@pytest.mark.slow
@pytest.mark.parametrize("data", ["bair", "landscape"])
def test_temporal_discriminator(data):
    fixture = fixtures.load(f"temporal_discriminator_{data}")
    module, variables = load_torch("temporal_discriminator", fixture.state, fixture.config)

    @jax.jit
    def run(params, spectral, video):
        def loss(params):
            def mean_logit(video):
                logits, features = module.apply({"params": params, "spectral": spectral}, video)
                return jnp.mean(logits), (logits, features)

            slope, outputs = jax.grad(mean_logit, has_aux=True)(video)
            penalty = jnp.mean(jnp.sum(slope**2, axis=(1, 2, 3, 4)))
            return jnp.mean(outputs[0]) + 10 * penalty, (*outputs, penalty)

        return jax.grad(loss, has_aux=True)(params)

    video = channels_last(fixture.inputs["video"])
    gradients, (logits, features, penalty) = run(variables["params"], variables["spectral"], video)
    assert_close(logits, fixture.outputs["logits"], fixture.tolerance)
    assert_close(penalty, fixture.outputs["gradient_penalty"], fixture.tolerance)
    for index, feature in enumerate(features):
        batch, channels, *size = fixture.outputs[f"feature_map_{index}/shape"]
        assert feature.shape == (batch, *size, channels)
        assert_close(np.mean(np.abs(feature)), fixture.outputs[f"feature_map_{index}/mean_abs"], fixture.tolerance)
    assert_gradient_norms("temporal_discriminator", fixture, gradients)


def test_patch_discriminator():
    fixture = fixtures.load("patch_discriminator")
    module, variables = load_torch("patch_discriminator", fixture.state, fixture.config)

    @jax.jit
    def run(params, spectral, images):
        def loss(params):
            logits = module.apply({"params": params, "spectral": spectral}, images)
            return jnp.mean(logits), logits

        return jax.grad(loss, has_aux=True)(params)

    images = channels_last(fixture.inputs["images"])
    gradients, logits = run(variables["params"], variables["spectral"], images)
    assert_close(logits, channels_last(fixture.outputs["logits"]), fixture.tolerance)
    assert_gradient_norms("patch_discriminator", fixture, gradients)


def test_actnorm_initializes_from_its_first_batch():
    fixture = fixtures.load("actnorm_init")
    module, x = ActNorm(fixture.config["channels"]), fixture.inputs["x"]
    variables = module.init(jax.random.key(0), x)
    y, changed = module.apply(variables, x, data_init=True, mutable=["params"])
    bijector = bijectors.ActNorm(**changed["params"])
    forward, log_det = bijector.forward_and_log_det(x)
    np.testing.assert_allclose(forward, y, rtol=1e-6, atol=1e-6)
    log_det = np.broadcast_to(log_det, len(x))
    for name, value in {"y": y, "logdet": log_det, **changed["params"]}.items():
        assert_close(value, fixture.outputs[name], fixture.tolerance)
    back, inverse_log_det = bijector.inverse_and_log_det(y)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(np.broadcast_to(inverse_log_det, len(x)), -log_det, rtol=1e-6)
