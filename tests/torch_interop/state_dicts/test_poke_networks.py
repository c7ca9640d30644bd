"""The networks of the poke model compute the authors' functions."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures
from tests.torch_interop.state_dicts.test_video_networks import (
    assert_close,
    assert_gradient_norms,
    channels_last,
    unbiased_std,
)

MODELS = ["poke_model_64", "poke_model_64_impulse", pytest.param("poke_model_128", marks=pytest.mark.slow)]
# The instance norm after these convolutions removes what their biases add: the gradient is zero, but for rounding.
WITHOUT_GRADIENT = re.compile(r"grad_norm/(.*\.(blocks\.\d+|model\.\d+|conv1|conv2|res_conv)\.conv|layers\.\d+)\.bias")


def assert_gradients(network, fixture, gradients):
    """Checks gradient norms, and that the same ones are zero in both."""
    zero = {key for key in fixture.outputs if WITHOUT_GRADIENT.fullmatch(key)}
    assert zero
    ours = to_torch(network, {"params": jax.device_get(gradients)}, fixture.config)
    for key in zero:
        assert fixture.outputs[key] < 1e-5
        assert np.linalg.norm(ours[key.removeprefix("grad_norm/")]) < 1e-5
    rest = {key: value for key, value in fixture.outputs.items() if key not in zero}
    assert_gradient_norms(network, fixture._replace(outputs=rest), gradients)


def assert_round_trip(network, fixture, variables):
    state = to_torch(network, variables, fixture.config)
    assert state.keys() == fixture.state.keys()
    for key, value in fixture.state.items():
        np.testing.assert_array_equal(state[key], value, err_msg=key)


def assert_maps(maps, fixture, name):
    """Checks the shape and the mean absolute value of intermediate results."""
    for index, ours in enumerate(maps):
        batch, channels, *size = fixture.outputs[f"{name}_{index}/shape"]
        assert ours.shape == (batch, *size, channels)
        assert_close(np.mean(np.abs(ours)), fixture.outputs[f"{name}_{index}/mean_abs"], fixture.tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_poke_model(name):
    fixture = fixtures.load(name)
    module, variables = load_torch("poke_model", fixture.state, fixture.config)
    start_frame, poke, cotangent = (channels_last(fixture.inputs[key]) for key in ("start_frame", "poke", "cotangent"))

    @jax.jit
    def run(params):
        def loss(params):
            video = module.apply({"params": params}, start_frame, poke)
            return jnp.mean(video * cotangent), video

        def parts(model):
            states = model.encode(start_frame)
            return states, model.decode(states), model.encode_poke(poke)

        return *jax.grad(loss, has_aux=True)(params), *module.apply({"params": params}, method=parts)

    gradients, video, states, reconstruction, latent_poke = run(variables["params"])
    stride, tolerance = fixture.config["image_stride"], fixture.tolerance
    expected = channels_last(fixture.outputs["video"])
    assert_close(video[:, :, ::stride, ::stride], expected, tolerance)
    assert_close(reconstruction[:, ::stride, ::stride], channels_last(fixture.outputs["reconstruction"]), tolerance)
    for statistic, key in ((np.mean, "mean"), (unbiased_std, "std")):
        ours = statistic(np.asarray(video), axis=(2, 3, 4))
        # the mean of values around zero: relative to the values, not to their mean
        atol = tolerance * np.max(np.abs(expected))
        np.testing.assert_allclose(ours, fixture.outputs[f"video_{key}_per_frame"], rtol=0, atol=atol)
    assert_maps(states, fixture, "object_state")
    assert f"object_state_{len(states)}/shape" not in fixture.outputs
    assert_close(np.mean(np.abs(latent_poke)), fixture.outputs["latent_poke/mean_abs"], tolerance)
    assert_gradients("poke_model", fixture, gradients)
    assert_round_trip("poke_model", fixture, variables)


def discriminator_gradients(fixture, logits, inputs, params, weight):
    """Compares logits, features and gradient penalty; the gradients of mean(logits) + weight * penalty.

    `logits` is a function (params, inputs) -> (logits, features); the penalty is the mean over the batch of
    |d sum(logits) / d inputs|^2.
    """

    def loss(params):
        def total(inputs):
            values, features = logits(params, inputs)
            return jnp.sum(values), (values, features)

        slope, (values, features) = jax.grad(total, has_aux=True)(inputs)
        penalty = jnp.sum(slope**2) / len(inputs)
        return jnp.mean(values) + weight * penalty, (penalty, values, features)

    gradients, (penalty, values, features) = jax.jit(jax.grad(loss, has_aux=True))(params)
    assert_close(values, channels_last(fixture.outputs["logits"]), fixture.tolerance)
    assert_close(penalty, fixture.outputs["gradient_penalty"], fixture.tolerance)
    assert_maps(features, fixture, "feature_map")
    return gradients


def test_poke_patch_discriminator():
    fixture = fixtures.load("poke_patch_discriminator")
    module, variables = load_torch("poke_patch_discriminator", fixture.state, fixture.config)

    def logits(params, images):
        values, state = module.apply({"params": params}, images, mutable=["intermediates"])
        return values, state["intermediates"]["features"]

    images = channels_last(fixture.inputs["images"])
    gradients = discriminator_gradients(fixture, logits, images, variables["params"], weight=1.0)
    assert_gradients("poke_patch_discriminator", fixture, gradients)
    assert_round_trip("poke_patch_discriminator", fixture, variables)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128])
def test_poke_temporal_discriminator(size):
    fixture = fixtures.load(f"poke_temporal_discriminator_{size}")
    module, variables = load_torch("poke_temporal_discriminator", fixture.state, fixture.config)

    def logits(params, video):
        return module.apply({**variables, "params": params}, video)

    video = np.moveaxis(fixture.inputs["video"], 1, -1)
    gradients = discriminator_gradients(fixture, logits, video, variables["params"], weight=0.1)
    assert_gradient_norms("poke_temporal_discriminator", fixture, gradients)
    assert_round_trip("poke_temporal_discriminator", fixture, variables)


@pytest.mark.parametrize(
    ("switch", "value"), [("disentanglement", True), ("use_skip_model", False), ("poke_scale", True), ("nf_first", 64)]
)
def test_variants_without_a_reference_are_refused(switch, value):
    fixture = fixtures.load("poke_model_64", with_state=False)
    with pytest.raises(UserError) as raised:
        load_torch("poke_model", {}, {**fixture.config, switch: value})
    assert (raised.value.field, raised.value.value) == (switch, value)
