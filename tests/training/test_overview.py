"""The table of networks at the start of training."""

import jax
import jax.numpy as jnp

from i2v_jax.training.overview import parameter_table


def test_parameters_and_bytes_by_network():
    trained = {
        "encoder": {"kernel": jax.ShapeDtypeStruct((1000, 3), jnp.float32), "bias": jnp.zeros(3)},
        "decoder": {"scale": jnp.zeros((), jnp.float32)},
    }
    frozen = {"lpips": {"params": {"kernel": jnp.zeros(5, jnp.bfloat16)}}}
    assert [line.split() for line in parameter_table(trained, frozen).splitlines()] == [
        ["network", "parameters", "bytes"],
        ["encoder", "3,003", "12,012"],
        ["decoder", "1", "4"],
        ["all", "trained", "3,004", "12,016"],
        ["lpips", "(frozen)", "5", "10"],
    ]
