"""The critics at small sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.models.discriminators import PatchDiscriminator, TemporalDiscriminator
from tests.models.random_variables import random_variables

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)


def test_patch_norms_initialize_from_data():
    """After data_init every ActNorm sees zero mean and unit variance, each from the output of the layers before it."""
    critic = PatchDiscriminator(width=8)
    variables = random_variables(critic, IMAGES)
    logits, changed = critic.apply(variables, IMAGES, data_init=True, mutable=["params"])
    variables = {**variables, **changed}
    again, state = critic.apply(variables, IMAGES, capture_intermediates=True, mutable=["intermediates"])
    np.testing.assert_allclose(again, logits, atol=1e-5)
    for layer in (1, 2, 3):
        y = np.asarray(state["intermediates"][f"norm{layer}"]["__call__"][0])
        np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(y.reshape(-1, y.shape[-1]).std(0, ddof=1), 1, atol=1e-3)


def test_patch_with_instance_norm_has_no_actnorm():
    critic = PatchDiscriminator(width=8, norm="instance", spectral_norm=False)
    variables = random_variables(critic, IMAGES)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {f"conv{i}" for i in range(5)}
    assert critic.apply(variables, IMAGES).shape == (4, 2, 2, 1)


@pytest.mark.parametrize("kind", ["temporal", "patch"])
def test_bfloat16_computes_the_same_with_float32_parameters(kind):
    if kind == "temporal":
        critic = TemporalDiscriminator((16, 16, 32, 32, 32), stride_t=(2, 2, 2, 2), stride_s=(1, 1, 2, 1))
        inputs = RNG.uniform(-1, 1, (2, 12, 32, 32, 3)).astype(np.float32)
    else:
        critic, inputs = PatchDiscriminator(width=16), IMAGES
    variables = random_variables(critic, inputs)
    shapes = jax.eval_shape(critic.clone(dtype=jnp.bfloat16).init, jax.random.key(0), inputs)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    full = jax.tree.leaves(jax.jit(critic.apply)(variables, inputs))
    half = jax.tree.leaves(jax.jit(critic.clone(dtype=jnp.bfloat16).apply)(variables, inputs))
    assert half[0].dtype == jnp.float32  # the logits
    for a, b in zip(half[1:] or half, full[1:] or full, strict=True):
        # bfloat16 keeps 8 bits; errors of up to 18 layers add up to a few per cent
        assert np.linalg.norm(a.astype(jnp.float32) - b) < 0.05 * np.linalg.norm(b)


def test_only_the_first_block_of_a_stage_has_spectral_norm():
    critic = TemporalDiscriminator((16, 16, 32, 32, 32), stride_t=(2, 2, 2, 2), stride_s=(1, 1, 2, 1))
    shapes = jax.eval_shape(critic.init, jax.random.key(0), jnp.zeros((1, 12, 32, 32, 3)))
    trunk = shapes["spectral"]["trunk"]
    assert set(trunk) == {f"stage{stage}_block0" for stage in range(4)}
    assert all(set(block) == {"conv1", "conv2", "shortcut"} for block in trunk.values())
