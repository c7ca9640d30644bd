"""VGG and LPIPS compute the functions of torchvision and of the LPIPS release."""

import jax
import numpy as np
import pytest

from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures
from tests.torch_interop.state_dicts.test_video_networks import assert_close, channels_last

SAMPLES = 97


@pytest.mark.parametrize("depth", [16, 19])
def test_vgg(depth):
    fixture = fixtures.load(f"torchvision_vgg{depth}")
    classifier = {"classifier.6.bias": np.zeros(1000)}  # real checkpoints have it
    module, variables = load_torch(f"vgg{depth}", {**fixture.state, **classifier}, fixture.config)
    features = jax.jit(module.apply)(variables, channels_last(fixture.inputs["images"]))
    assert {f"layer_{layer}/sample" for layer in features} < fixture.outputs.keys()
    assert 2 * len(features) == len(fixture.outputs)
    for layer, value in features.items():
        flat = np.moveaxis(np.asarray(value), -1, -3).ravel()
        samples = flat[:: flat.size // SAMPLES][:SAMPLES]
        assert_close(samples, fixture.outputs[f"layer_{layer}/sample"], fixture.tolerance)
        assert_close(np.mean(np.abs(flat)), fixture.outputs[f"layer_{layer}/mean_abs"], fixture.tolerance)


def test_lpips():
    fixture = fixtures.load("lpips_vgg16")
    module, variables = load_torch("lpips", fixture.state, fixture.config)
    a, b = channels_last(fixture.inputs["a"]), channels_last(fixture.inputs["b"])

    # The weights are an argument: as constants XLA would fold the whole pass over `a` while it compiles.
    @jax.jit
    def run(variables, a, b):
        def total(b):
            distance = module.apply(variables, a, b)
            return distance.sum(), distance

        return jax.grad(total, has_aux=True)(b)

    gradient, distance = run(variables, a, b)
    assert_close(distance, fixture.outputs["distance"], fixture.tolerance)
    assert_close(gradient[:, ::8, ::8], channels_last(fixture.outputs["grad_b"]), fixture.tolerance)
    state = to_torch("lpips", variables, fixture.config)
    assert state.keys() == fixture.state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(value, fixture.state[key], err_msg=key)
