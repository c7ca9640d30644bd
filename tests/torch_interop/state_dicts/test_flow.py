"""The conditional flow computes the authors' function in both directions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures
from tests.torch_interop.state_dicts.test_video_networks import assert_close, assert_gradient_norms


@pytest.mark.parametrize("name", ["flow_cond64", pytest.param("flow_cond128", marks=pytest.mark.slow), "flow_control"])
def test_flow(name):
    fixture = fixtures.load(name)
    module, variables = load_torch("flow", fixture.state, fixture.config)

    @jax.jit
    def run(variables, z, embedding, residual):
        def loss(params):
            residual_of_z, log_det = module.apply({**variables, "params": params}, z, embedding)
            value = jnp.mean(0.5 * jnp.sum(residual_of_z**2, axis=-1)) - jnp.mean(log_det)
            return value, {"residual_of_z": residual_of_z, "logdet": log_det, "loss": value}

        gradients, outputs = jax.grad(loss, has_aux=True)(variables["params"])
        z_of_residual, _ = module.apply(variables, residual, embedding, method="inverse")
        back, _ = module.apply(variables, outputs["residual_of_z"], embedding, method="inverse")
        return gradients, {**outputs, "z_of_residual": z_of_residual}, back

    inputs = fixture.inputs["z"], fixture.inputs["embedding"], fixture.inputs["residual"]
    gradients, outputs, back = run(variables, *inputs)
    for key, value in outputs.items():
        assert_close(value, fixture.outputs[key], fixture.tolerance)
    np.testing.assert_allclose(back, fixture.inputs["z"], atol=1e-4)
    assert_gradient_norms("flow", fixture, gradients)


def test_state_dict_survives_the_round_trip():
    fixture = fixtures.load("flow_control")
    _, variables = load_torch("flow", fixture.state, fixture.config)
    state = to_torch("flow", variables, fixture.config)
    assert state.keys() == fixture.state.keys()
    for key, value in state.items():
        assert value.dtype == fixture.state[key].dtype, key
        np.testing.assert_array_equal(value, fixture.state[key], err_msg=key)


def test_a_permutation_of_another_size_is_named():
    fixture = fixtures.load("flow_control")
    key = "sub_layers.3.shuffle.forward_shuffle_idx"
    with pytest.raises(UserError) as raised:
        load_torch("flow", {**fixture.state, key: np.arange(5)}, fixture.config)
    assert key in str(raised.value.value)
