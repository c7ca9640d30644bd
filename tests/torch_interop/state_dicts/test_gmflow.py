"""GMFlow computes the authors' function."""

import jax
import numpy as np

from i2v_jax.torch_interop import load_torch, to_torch
from tests.reference import fixtures
from tests.torch_interop.state_dicts.test_video_networks import assert_close, channels_last


def test_gmflow():
    fixture = fixtures.load("gmflow")
    module, variables = load_torch("gmflow", fixture.state, fixture.config)
    pair = (channels_last(fixture.inputs[name]) for name in ("first", "second"))
    assert_close(jax.jit(module.apply)(variables, *pair), channels_last(fixture.outputs["flow"]), fixture.tolerance)
    state = to_torch("gmflow", variables, fixture.config)
    assert state.keys() == fixture.state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(value, fixture.state[key], err_msg=key)
