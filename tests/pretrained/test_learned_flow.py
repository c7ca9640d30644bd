"""The network of optical flow sees frames of any size, in batches of one size."""

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.pretrained import learned_flow, weights


class Brightness(nn.Module):
    """Gives the brightness of the two images as flow, in pixels."""

    def __call__(self, first: jax.Array, second: jax.Array) -> jax.Array:
        assert first.shape[1] % 32 == 0 and first.shape[2] % 32 == 0
        return jnp.stack([first.mean(-1), second.mean(-1)], axis=-1)


def smooth(count: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (count, height, width, 3)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(picture, (0, 0), 4.0) for picture in noise]).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(48, 80), (256, 290), (300, 270)])
def test_flow_is_in_place_and_in_pixels_of_the_frames(height: int, width: int) -> None:
    first, second = smooth(2, height, width), smooth(4, height, width)[2:]
    flow = learned_flow.flow_of(Brightness(), {}, first, second)
    scale = max(1.0, 256 / min(height, width))
    scales = np.array([width / round(width * scale), height / round(height * scale)])
    expected = np.stack([first.mean(-1), second.mean(-1)], axis=-1) / 255 * scales
    assert flow.shape == (2, height, width, 2)
    np.testing.assert_allclose(flow, expected, atol=(0.002 if scale > 1 else 1e-6) * scales[0])


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("count", [1, 8, 11])
def test_every_pair_has_its_flow(monkeypatch: pytest.MonkeyPatch, backend: str, count: int) -> None:
    monkeypatch.setattr(weights, "module", lambda name: Brightness())
    monkeypatch.setattr(weights, "load", lambda name: {})
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    frames = list(smooth(count, 256, 256))
    found = list(learned_flow.estimator()(frames, frames[::-1]))
    assert len(found) == count
    for flow, first, second in zip(found, frames, frames[::-1], strict=True):
        np.testing.assert_allclose(flow, np.stack([first.mean(-1), second.mean(-1)], axis=-1) / 255, atol=1e-6)
