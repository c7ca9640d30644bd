"""I3D and InceptionV3 compute the functions of the networks that published metrics use."""

import jax
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.pretrained.resize import resize
from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures
from tests.torch_interop.state_dicts.test_video_networks import assert_close, channels_last


def features_of(network, fixture, inputs):
    module, variables = load_torch(network, fixture.state, fixture.config)
    return variables, jax.jit(module.apply)(variables, inputs)


def assert_there_and_back(network, variables, fixture, ignored=()):
    """Checks that everything that the network uses is converted back."""
    state = to_torch(network, variables, fixture.config)
    kept = {key for key in fixture.state if not key.startswith(ignored)}
    assert state.keys() == kept
    counters = {key for key in kept if key.endswith("num_batches_tracked")}
    assert all(state[key].shape == fixture.state[key].shape for key in counters)
    assert all(np.array_equal(state[key], fixture.state[key]) for key in kept - counters)


def test_i3d_kinetics():
    fixture = fixtures.load("i3d_kinetics")
    video = resize(channels_last(fixture.inputs["video_small"]), 224, 224, "aligned")
    variables, features = features_of("i3d", fixture, (video + 1) / 2)
    assert_close(features.logits, fixture.outputs["logits"], fixture.tolerance)
    assert_there_and_back("i3d", variables, fixture)


@pytest.mark.parametrize("frames", [16, 32])
def test_i3d_dynamic_textures(frames):
    fixture = fixtures.load(f"i3d_dynamic_textures_{frames}")
    video = resize(channels_last(fixture.inputs["video_small"]), 224, 224, "aligned")
    variables, features = features_of("i3d_dynamic_textures", fixture, video)
    assert_close(features.logits, fixture.outputs["logits"], fixture.tolerance)
    assert_close(features.pooled, fixture.outputs["representation"], fixture.tolerance)
    assert_there_and_back("i3d_dynamic_textures", variables, fixture)


def test_inception_fid():
    fixture = fixtures.load("inception_fid")
    images = resize(channels_last(fixture.inputs["images"]), 299, 299, "half_pixel")
    variables, pooled = features_of("inception_fid", fixture, images)
    assert_close(pooled, fixture.outputs["pool3"], fixture.tolerance)
    assert_there_and_back("inception_fid", variables, fixture, ignored=("fc.",))


def test_inception_of_torchvision():
    """Its state dict has two classifiers of 1000 classes, which the pooled features do not need."""
    state = fixtures.state("inception_fid")
    classifiers = {"fc.weight": np.zeros((1000, 2048)), "fc.bias": np.zeros(1000), "AuxLogits.fc.bias": np.zeros(1000)}
    for unit in ("AuxLogits.conv0", "AuxLogits.conv1"):
        classifiers |= {f"{unit}.conv.weight": np.zeros((1, 1, 1, 1)), f"{unit}.bn.running_var": np.ones(1)}
    module, variables = load_torch("inception_v3", {**state, **classifiers}, {})
    assert module.variant == "torchvision"
    _, expected = load_torch("inception_fid", state, {})
    jax.tree.map(np.testing.assert_array_equal, variables, expected)


def test_clips_of_other_lengths_have_no_network_for_dynamic_textures():
    with pytest.raises(UserError) as raised:
        load_torch("i3d_dynamic_textures", {}, {"frames": 24})
    assert (raised.value.field, raised.value.value) == ("frames", 24)


def test_the_kinetics_network_is_not_one_for_dynamic_textures():
    state = fixtures.state("i3d_kinetics")
    with pytest.raises(UserError) as raised:
        load_torch("i3d_dynamic_textures", state, {"frames": 16})
    assert any(key.startswith("conv3d_0c_1x1") for key in raised.value.value["unknown"])
