"""What identifies an evaluated model."""

import numpy as np

from i2v_jax.sampling.stages import variables_sha256


def test_a_model_is_identified_by_its_arrays() -> None:
    variables = {"flow": {"params": {"a": np.zeros(3, np.float32), "b": np.ones(2)}}}
    digest = variables_sha256(variables)
    assert variables_sha256({"flow": {"params": {"b": np.ones(2), "a": np.zeros(3, np.float32)}}}) == digest
    assert variables_sha256({"flow": {"params": {"a": np.zeros(3), "b": np.ones(2)}}}) != digest
