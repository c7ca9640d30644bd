"""Changes of layout and their inverses."""

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.torch_interop.state_dicts import layout


def test_spectral_v_follows_the_kernel():
    torch_kernel = np.random.default_rng(0).normal(size=(5, 2, 3, 1, 4))  # O, I, T, H, W
    v = np.random.default_rng(1).normal(size=2 * 3 * 1 * 4)
    ours = layout.CONV3D.to_jax(torch_kernel).reshape(-1, 5)
    transform = layout.spectral_v((3, 1, 4))
    np.testing.assert_allclose(transform.to_jax(v) @ ours, torch_kernel.reshape(5, -1) @ v)
    np.testing.assert_array_equal(transform.to_torch(transform.to_jax(v)), v)


def test_keys_that_share_an_array_fill_their_columns():
    entries = [
        layout.Entry("gamma", "params/both", layout.LINEAR, columns=(0, 2)),
        layout.Entry("beta", "params/both", layout.LINEAR, columns=(2, 5)),
    ]
    state = {"gamma": np.ones((2, 3), np.float32), "beta": np.full((3, 3), 2, np.float32)}
    variables = layout.to_variables("pair", entries, state, {"params": {"both": np.zeros((3, 5), np.float32)}})
    np.testing.assert_array_equal(variables["params"]["both"], [[1, 1, 2, 2, 2]] * 3)
    back = layout.to_state(entries, variables)
    assert all(np.array_equal(back[key], state[key]) for key in state)


def test_every_key_that_does_not_fit_is_listed():
    entries = [layout.Entry(f"gamma{n}", f"params/{n}") for n in range(60)]
    expected = {"params": {str(n): np.zeros(2, np.float32) for n in range(60)}}
    state = {f"gamma{n}": np.zeros(3 if n < 25 else 2) for n in range(35)} | {
        f"beta{n}": np.zeros(1) for n in range(30)
    }
    with pytest.raises(UserError) as raised:
        layout.to_variables("pair", entries, state, expected)
    assert "\n" not in str(raised.value)
    assert raised.value.value == {
        "unknown": sorted(f"beta{n}" for n in range(30)),
        "missing": sorted(f"gamma{n}" for n in range(35, 60)),
        "wrongly shaped": [f"gamma{n} (3,), needed (2,)" for n in range(25)],
    }


def test_a_table_must_fill_every_array():
    entries = [layout.Entry("gamma", "params/both", columns=(0, 2))]
    with pytest.raises(AssertionError, match="params/both"):
        layout.to_variables("pair", entries, {}, {"params": {"both": np.zeros(5)}})
