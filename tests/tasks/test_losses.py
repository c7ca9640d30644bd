"""Drawn rows are computed on by the devices together."""

import re

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.configs import common
from i2v_jax.distributed import mesh as meshes
from i2v_jax.tasks import losses
from i2v_jax.tasks.losses import drawn_rows

RNG = np.random.default_rng(0)
FRAMES, KERNEL = RNG.normal(size=(64, 16)).astype(np.float32), RNG.normal(size=(16, 16)).astype(np.float32)


def total(kernel, frames, indices):
    return jnp.sum(jnp.tanh(drawn_rows(frames, indices) @ kernel))


@pytest.mark.parametrize("count", [40, 6])
def test_drawn_rows_are_split_over_the_devices(count):
    """Also where they are not a multiple of the four devices, who share eight in place of six."""
    indices = RNG.integers(0, 64, count)
    mesh = meshes.make_mesh(common.base(32).mesh, jax.devices()[:4])
    everywhere, over_devices = meshes.replicated(mesh), meshes.batch_sharding(mesh)
    shardings = (everywhere, over_devices, everywhere)
    function = meshes.traced_on(mesh, jax.value_and_grad(total))
    program = jax.jit(function, in_shardings=shardings).lower(KERNEL, FRAMES, indices).compile()
    on_a_device = -(-count // 4)
    (rows,) = {int(rows) for rows in re.findall(r"f32\[(\d+),16\]\S* tanh", program.as_text())}
    assert rows == on_a_device
    value, gradient = jax.value_and_grad(total)(KERNEL, FRAMES, indices)
    placed = [
        jax.device_put(array, sharding) for array, sharding in zip((KERNEL, FRAMES, indices), shardings, strict=True)
    ]
    split_value, split_gradient = program(*placed)
    np.testing.assert_allclose(split_value, value, rtol=1e-4)
    np.testing.assert_allclose(split_gradient, gradient, rtol=1e-4, atol=1e-4)


def test_a_rectangle_is_cut_out_and_enlarged_as_opencv_does():
    video = np.random.default_rng(0).uniform(-1, 1, (3, 2, 16, 16, 3)).astype(np.float32)
    rectangles = np.array([[0, 0, 16, 16], [2, 5, 9, 7], [15, 3, 1, 13]], np.int32)
    found = losses.cut(video, rectangles)
    assert np.array_equal(found[0], video[0])
    for clip, (top, left, height, width) in enumerate(rectangles):
        for frame in range(2):
            part = np.ascontiguousarray(video[clip, frame, top : top + height, left : left + width])
            expected = cv2.resize(part, (16, 16), interpolation=cv2.INTER_LINEAR)
            np.testing.assert_allclose(found[clip, frame], expected, atol=1e-5)
