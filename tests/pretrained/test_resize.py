"""Resizing under each corner rule, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.pretrained.resize import resize

SIZES = [(64, 224), (7, 5), (1, 4), (5, 1)]


def line(corners, size_in, size_out):
    """Returns the positions of the output pixels among the input pixels, by the definition of the rule."""
    return {
        "tf1_legacy": [j * size_in / size_out for j in range(size_out)],
        "half_pixel": [(j + 0.5) * size_in / size_out - 0.5 for j in range(size_out)],
        "aligned": [j * (size_in - 1) / (size_out - 1) if size_out > 1 else 0.0 for j in range(size_out)],
    }[corners]


@pytest.mark.parametrize("corners", ["tf1_legacy", "half_pixel", "aligned"])
@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_a_ramp(corners, size_in, size_out):
    """A ramp is reproduced exactly between the first and the last pixel, and flat beyond them."""
    ramp = np.linspace(-1, 1, size_in, dtype=np.float32) if size_in > 1 else np.zeros(1, np.float32)
    expected = np.interp(line(corners, size_in, size_out), np.arange(size_in), ramp)
    tall = np.broadcast_to(ramp[:, None, None], (size_in, 3, 2))
    resized = jax.jit(resize, static_argnums=(1, 2, 3))(tall, size_out, 3, corners)
    np.testing.assert_allclose(resized, np.broadcast_to(expected[:, None, None], (size_out, 3, 2)), atol=1e-5)


@pytest.mark.parametrize("corners", ["tf1_legacy", "half_pixel", "aligned"])
def test_noise_against_gathered_neighbors(corners):
    video = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 12, 3)).astype(np.float32)
    expected = video.astype(np.float64)
    for axis, size_out in ((2, 56), (3, 40)):
        size_in = video.shape[axis]
        position = np.clip(line(corners, size_in, size_out), 0, size_in - 1)
        lower = np.floor(position).astype(int)
        upper = np.minimum(lower + 1, size_in - 1)
        share = (position - lower).reshape([-1 if i == axis else 1 for i in range(5)])
        expected = (1 - share) * expected.take(lower, axis) + share * expected.take(upper, axis)
    np.testing.assert_allclose(jax.jit(resize, static_argnums=(1, 2, 3))(video, 56, 40, corners), expected, atol=1e-5)


@pytest.mark.parametrize("corners", ["half_pixel", "aligned"])
def test_as_pytorch(corners):
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 48)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.tensor(images), size=(224, 299), mode="bilinear", align_corners=corners == "aligned"
    )
    resized = resize(images.transpose(0, 2, 3, 1), 224, 299, corners)
    np.testing.assert_allclose(resized.transpose(0, 3, 1, 2), expected.numpy(), atol=1e-5)


def test_the_rules_differ_by_much_and_agree_without_a_change_of_size():
    image = np.random.default_rng(0).uniform(-1, 1, (64, 64, 3)).astype(np.float32)
    legacy, half_pixel = (np.asarray(resize(image, 224, 224, corners)) for corners in ("tf1_legacy", "half_pixel"))
    assert np.mean(np.abs(legacy - half_pixel)) > 0.05
    for corners in ("tf1_legacy", "half_pixel", "aligned"):
        np.testing.assert_array_equal(resize(image, 64, 64, corners), image)


def test_keeps_the_type():
    assert resize(jnp.zeros((2, 4, 4, 3), jnp.bfloat16), 8, 8, "tf1_legacy").dtype == jnp.bfloat16
