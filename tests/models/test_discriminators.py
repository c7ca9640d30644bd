"""The discriminators at small sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.models.discriminators import (
    FrameTemporalDiscriminator,
    PatchDiscriminator,
    PatchTemporalDiscriminator,
    TemporalDiscriminator,
)
from tests.models.random_variables import random_variables

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)


def test_patch_norms_initialize_from_data():
    """After data_init every ActNorm sees zero mean and unit variance, each from the output of the layers before it."""
    discriminator = PatchDiscriminator(width=8)
    variables = random_variables(discriminator, IMAGES)
    logits, changed = discriminator.apply(variables, IMAGES, data_init=True, mutable=["params"])
    variables = {**variables, **changed}
    again, state = discriminator.apply(variables, IMAGES, capture_intermediates=True, mutable=["intermediates"])
    np.testing.assert_allclose(again, logits, atol=1e-5)
    for layer in (1, 2, 3):
        y = np.asarray(state["intermediates"][f"norm{layer}"]["__call__"][0])
        np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(y.reshape(-1, y.shape[-1]).std(0, ddof=1), 1, atol=1e-3)


def test_patch_with_instance_norm_has_no_actnorm():
    discriminator = PatchDiscriminator(width=8, norm="instance", spectral_norm=False)
    variables = random_variables(discriminator, IMAGES)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {f"conv{i}" for i in range(5)}
    assert discriminator.apply(variables, IMAGES).shape == (4, 2, 2, 1)


@pytest.mark.parametrize("kind", ["temporal", "patch"])
def test_bfloat16_computes_the_same_with_float32_parameters(kind):
    if kind == "temporal":
        discriminator = TemporalDiscriminator((16, 16, 32, 32, 32), stride_t=(2, 2, 2, 2), stride_s=(1, 1, 2, 1))
        inputs = RNG.uniform(-1, 1, (2, 12, 32, 32, 3)).astype(np.float32)
    else:
        discriminator, inputs = PatchDiscriminator(width=16), IMAGES
    variables = random_variables(discriminator, inputs)
    shapes = jax.eval_shape(discriminator.clone(dtype=jnp.bfloat16).init, jax.random.key(0), inputs)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    full = jax.tree.leaves(jax.jit(discriminator.apply)(variables, inputs))
    half = jax.tree.leaves(jax.jit(discriminator.clone(dtype=jnp.bfloat16).apply)(variables, inputs))
    assert half[0].dtype == jnp.float32  # the logits
    for a, b in zip(half[1:] or half, full[1:] or full, strict=True):
        # bfloat16 keeps 8 bits; errors of up to 18 layers add up to a few per cent
        assert np.linalg.norm(a.astype(jnp.float32) - b) < 0.05 * np.linalg.norm(b)


def test_only_the_first_block_of_a_stage_has_spectral_norm():
    discriminator = TemporalDiscriminator((16, 16, 32, 32, 32), stride_t=(2, 2, 2, 2), stride_s=(1, 1, 2, 1))
    shapes = jax.eval_shape(discriminator.init, jax.random.key(0), jnp.zeros((1, 12, 32, 32, 3)))
    trunk = shapes["spectral"]["trunk"]
    assert set(trunk) == {f"stage{stage}_block0" for stage in range(4)}
    assert all(set(block) == {"conv1", "conv2", "shortcut"} for block in trunk.values())


def test_single_frames_of_a_window_are_scored():
    discriminator = FrameTemporalDiscriminator(width=4)
    (logits, features), variables = jax.eval_shape(
        discriminator.init_with_output, jax.random.key(0), jnp.zeros((2, 5, 64, 64, 3))
    )
    assert logits.shape == (2, 5, 1)
    assert [map_.shape for map_ in features] == [
        (2, 5, 16, 16, 8), (2, 5, 16, 16, 16), (2, 5, 8, 8, 16), (2, 5, 4, 4, 32),
    ]  # fmt: skip
    convolutions = [name for name in variables["params"]["trunk"] if "norm" not in name]
    assert set(variables["spectral"]["trunk"]) == set(convolutions)
    assert set(variables["params"]["logits"]) == {"kernel"}


@pytest.mark.parametrize("size", [64, 128])
def test_patches_of_clips_have_a_sixteenth_of_their_size(size):
    """The release's logits are 4x4 at 64 pixels and 8x8 at 128."""
    discriminator = PatchTemporalDiscriminator(width=4)
    (logits, features), _ = jax.eval_shape(
        discriminator.init_with_output, jax.random.key(0), jnp.zeros((1, 10, size, size, 3))
    )
    assert logits.shape == (1, size // 16, size // 16, 1)
    assert [map_.shape[1] for map_ in features] == [10, 5, 3, 2, 1]
    assert [map_.shape[2] for map_ in features] == [size // 4, size // 8, size // 16, size // 16, size // 16]
