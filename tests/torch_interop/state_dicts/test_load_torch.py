"""`load_torch` reports state dicts that do not fit, and loses nothing."""

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures


@pytest.fixture(scope="module")
def patch():
    return fixtures.load("patch_discriminator")


def test_there_and_back_gives_every_key(patch):
    _, variables = load_torch("patch_discriminator", patch.state, patch.config)
    state = to_torch("patch_discriminator", variables, patch.config)
    assert state.keys() == patch.state.keys()
    for key, value in patch.state.items():
        np.testing.assert_array_equal(state[key], value, err_msg=key)


@pytest.mark.parametrize("name", ["video_decoder_bair_nf16", "temporal_discriminator_bair", "video_encoder_bair"])
def test_there_and_back_of_the_video_networks(name):
    network = name.removesuffix("_nf16").removesuffix("_bair")
    fixture = fixtures.load(name)
    _, variables = load_torch(network, fixture.state, fixture.config)
    state = to_torch(network, variables, fixture.config)
    assert state.keys() == fixture.state.keys()
    assert all(np.array_equal(state[key], value) for key, value in fixture.state.items())


def test_a_data_parallel_prefix_is_removed(patch):
    prefixed = {f"module.{key}": value for key, value in patch.state.items()}
    _, variables = load_torch("patch_discriminator", prefixed, patch.config)
    np.testing.assert_array_equal(variables["params"]["conv0"]["bias"], patch.state["main.0.bias"])


def test_all_problems_come_in_one_message(patch):
    state = dict(patch.state)
    del state["main.0.bias"], state["main.2.weight_u"]
    state["main.5.bias"] = np.zeros(7, np.float32)
    state["extra.weight"] = np.zeros(1, np.float32)
    with pytest.raises(UserError) as caught:
        load_torch("patch_discriminator", state, patch.config)
    assert caught.value.value == {
        "unknown": ["extra.weight"],
        "missing": ["main.0.bias", "main.2.weight_u"],
        "wrongly shaped": ["main.5.bias (7,), needed (256,)"],
    }


def test_a_flag_may_be_missing(patch):
    state = {key: value for key, value in patch.state.items() if not key.endswith("initialized")}
    load_torch("patch_discriminator", state, patch.config)


def test_weights_of_another_config_are_refused(patch):
    with pytest.raises(UserError) as raised:
        load_torch("patch_discriminator", patch.state, {**patch.config, "ndf": 32})
    assert "main.0.bias (64,), needed (32,)" in raised.value.value["wrongly shaped"]


def test_an_unknown_network_and_an_incomplete_config(patch):
    with pytest.raises(UserError) as raised:
        load_torch("critic", patch.state, patch.config)
    assert (raised.value.field, raised.value.value) == ("network", "critic")
    with pytest.raises(UserError) as raised:
        load_torch("patch_discriminator", patch.state, {"ndf": 64, "use_actnorm": True})
    assert raised.value.field == "n_layers"


def test_torch_tensors_that_need_gradients(patch):
    torch = pytest.importorskip("torch")
    state = {key: torch.tensor(value) for key, value in patch.state.items()}
    state["main.0.bias"].requires_grad_(True)
    _, variables = load_torch("patch_discriminator", state, patch.config)
    np.testing.assert_array_equal(variables["params"]["conv0"]["bias"], patch.state["main.0.bias"])
