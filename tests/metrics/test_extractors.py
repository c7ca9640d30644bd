"""Each metric's network sees the range and the size that its convention says."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.metrics import extractors
from i2v_jax.metrics.conventions import CONVENTIONS
from i2v_jax.metrics.paired import psnr_per_frame
from i2v_jax.pretrained.networks.i3d import I3DFeatures
from i2v_jax.pretrained.resize import resize

_FRAMES = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 16, 3)).astype(np.float32)
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Corner(nn.Module):
    """As features the second pixel of what it is given, of clips or of images."""

    variant: str = "torchvision"

    def __call__(self, x):
        if x.ndim == 4:
            return x[:, 1, 1] + x.shape[1] / 1000 + (100 if self.variant == "torchvision_average_stem" else 0)
        pixel = x[:, 0, 1, 1] + x.shape[2] / 1000
        return I3DFeatures(logits=pixel, pooled=-pixel)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(extractors.weights, "source_sha256", lambda name: f"sha of {name}")
    monkeypatch.setattr(extractors.weights, "load", lambda name: {})
    monkeypatch.setattr(extractors.weights, "module", lambda name: Corner())


@pytest.mark.parametrize(
    ("metric", "weights", "to_range", "corners"),
    [
        ("fvd", "i3d", lambda x: x, "legacy"),
        ("pfvd", "i3d_port", lambda x: (x + 1) / 2, "aligned"),
        ("dtfvd_16", "i3d_dynamic_textures_16", lambda x: x, "aligned"),
        ("dtfvd_32", "i3d_dynamic_textures_32", lambda x: x, "aligned"),
    ],
)
def test_clips(metric, weights, to_range, corners):
    extractor = extractors.make_extractor(metric)
    assert extractor.weights_sha256 == f"sha of {weights}"
    seen = resize(jnp.asarray(to_range(_FRAMES)), 224, 224, corners)[:, 0, 1, 1] + 0.224
    np.testing.assert_allclose(extractor.function(extractor.weights, _FRAMES), seen, atol=1e-6)


@pytest.mark.parametrize(
    ("metric", "weights", "to_range"),
    [
        ("fid", "inception_fid", lambda x: x),
        ("fid_release", "inception_fid", lambda x: 2 * x - 1),
        ("fid_per_frame", "inception_v3", lambda x: ((x + 1) / 2 - _MEAN) / _DEVIATION),
    ],
)
def test_frames(metric, weights, to_range):
    extractor = extractors.make_extractor(metric)
    assert extractor.weights_sha256 == f"sha of {weights}"
    seen = resize(jnp.asarray(to_range(_FRAMES), jnp.float32), 299, 299, "half_pixel")[:, :, 1, 1] + 0.299
    np.testing.assert_allclose(extractor.function(extractor.weights, _FRAMES), seen, atol=1e-5)


def test_the_poke_release_s_inception_pools_averages_in_its_stem():
    usual, release = (extractors.make_extractor(f"fid_per_frame{end}") for end in ("", "_release"))
    assert usual.weights_sha256 == release.weights_sha256
    np.testing.assert_allclose(release.function({}, _FRAMES), usual.function({}, _FRAMES) + 100, atol=1e-4)


@pytest.mark.parametrize("frames", [16, 32])
def test_the_release_s_features_of_dynamic_textures_are_the_pooled_ones(frames):
    usual, release = (extractors.make_extractor(f"dtfvd_{frames}{end}") for end in ("", "_release"))
    assert usual.weights_sha256 == release.weights_sha256
    np.testing.assert_allclose(release.function({}, _FRAMES), -usual.function({}, _FRAMES), atol=1e-6)
    samples = np.stack([_FRAMES, _FRAMES / 2], axis=1)
    pixel = resize(jnp.asarray(_FRAMES), 224, 224, "aligned")[:, 0, 1, 1]
    diversity = extractors.make_extractor(f"diversity_dti3d_{frames}_release")
    np.testing.assert_allclose(diversity.function({}, samples), np.mean((pixel / 2) ** 2, axis=-1), rtol=1e-4)


def test_diversity_compares_samples_of_one_start_frame():
    extractor = extractors.make_extractor("diversity_i3d")
    samples = np.stack([_FRAMES, -_FRAMES], axis=1)
    pixel = resize(jnp.asarray(_FRAMES), 224, 224, "legacy")[:, 0, 1, 1]
    difference = np.asarray((pixel + 0.224) - (-pixel + 0.224))
    np.testing.assert_allclose(extractor.function({}, samples), np.mean(difference**2, axis=-1), rtol=1e-4)


def test_curves_without_a_network():
    extractor = extractors.make_extractor("psnr")
    assert extractor.weights_sha256 == extractors.NO_WEIGHTS
    noisy = _FRAMES * 0.9
    np.testing.assert_allclose(extractor.function({}, _FRAMES, noisy), psnr_per_frame(_FRAMES, noisy), rtol=1e-5)


def test_every_metric_of_frames_has_its_weights():
    names = {name for name, item in CONVENTIONS.items() if item.backbone != "none"}
    assert names == extractors._WEIGHTS.keys()


@pytest.mark.parametrize(("metric", "message"), [("kvd", "no metric 'kvd'"), ("log_likelihood", "not computed from")])
def test_metrics_that_are_not_of_frames(metric, message):
    with pytest.raises(UserError, match=message):
        extractors.make_extractor(metric)
