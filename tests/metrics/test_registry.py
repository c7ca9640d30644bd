"""Each metric's backbone sees the range and the size that its preprocessing says."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.metrics import base
from i2v_jax.metrics.base import NO_WEIGHTS, Reads
from i2v_jax.metrics.kinds import PairMetric
from i2v_jax.metrics.paired import psnr_per_frame
from i2v_jax.metrics.registry import METRICS, register
from i2v_jax.pretrained.networks.i3d import I3DFeatures
from i2v_jax.pretrained.resize import resize
from tests.metrics.stand_ins import NoWeights

_FRAMES = np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 16, 3)).astype(np.float32)
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Corner(nn.Module):
    """A backbone whose features are the second pixel of its input, clips or images."""

    variant: str = "torchvision"

    def __call__(self, x):
        if x.ndim == 4:
            return x[:, 1, 1] + x.shape[1] / 1000 + (100 if self.variant == "torchvision_average_stem" else 0)
        pixel = x[:, 0, 1, 1] + x.shape[2] / 1000
        return I3DFeatures(logits=pixel, pooled=-pixel)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(base.weights, "source_sha256", lambda name: f"sha of {name}")
    monkeypatch.setattr(base.weights, "load", lambda name: {})
    monkeypatch.setattr(base.weights, "module", lambda name: Corner())


@pytest.mark.parametrize(
    ("metric", "weights", "to_range", "corners"),
    [
        ("fvd", "i3d", lambda x: x, "tf1_legacy"),
        ("pfvd", "i3d_port", lambda x: (x + 1) / 2, "aligned"),
        ("dtfvd_16", "i3d_dynamic_textures_16", lambda x: x, "aligned"),
        ("dtfvd_32", "i3d_dynamic_textures_32", lambda x: x, "aligned"),
    ],
)
def test_clips(metric, weights, to_range, corners):
    chosen = METRICS[metric]
    assert chosen.weights_sha256() == f"sha of {weights}"
    seen = resize(jnp.asarray(to_range(_FRAMES)), 224, 224, corners)[:, 0, 1, 1] + 0.224
    np.testing.assert_allclose(chosen.extract(chosen.load(), _FRAMES), seen, atol=1e-6)


@pytest.mark.parametrize(
    ("metric", "weights", "to_range"),
    [
        ("fid", "inception_fid", lambda x: x),
        ("fid_release", "inception_fid", lambda x: 2 * x - 1),
        ("fid_per_frame", "inception_v3", lambda x: ((x + 1) / 2 - _MEAN) / _DEVIATION),
    ],
)
def test_frames(metric, weights, to_range):
    chosen = METRICS[metric]
    assert chosen.weights_sha256() == f"sha of {weights}"
    seen = resize(jnp.asarray(to_range(_FRAMES), jnp.float32), 299, 299, "half_pixel")[:, :, 1, 1] + 0.299
    np.testing.assert_allclose(chosen.extract(chosen.load(), _FRAMES), seen, atol=1e-5)


def test_the_poke_release_s_inception_pools_averages_in_its_stem():
    usual, release = (METRICS[f"fid_per_frame{end}"] for end in ("", "_release"))
    assert usual.weights_sha256() == release.weights_sha256()
    np.testing.assert_allclose(release.extract({}, _FRAMES), usual.extract({}, _FRAMES) + 100, atol=1e-4)


@pytest.mark.parametrize("frames", [16, 32])
def test_the_release_s_features_of_dynamic_textures_are_the_pooled_ones(frames):
    usual, release = (METRICS[f"dtfvd_{frames}{end}"] for end in ("", "_release"))
    assert usual.weights_sha256() == release.weights_sha256()
    np.testing.assert_allclose(release.extract({}, _FRAMES), -usual.extract({}, _FRAMES), atol=1e-6)
    samples = np.stack([_FRAMES, _FRAMES / 2], axis=1)
    pixel = resize(jnp.asarray(_FRAMES), 224, 224, "aligned")[:, 0, 1, 1]
    diversity = METRICS[f"diversity_dti3d_{frames}_release"]
    np.testing.assert_allclose(diversity.extract({}, samples), np.mean((pixel / 2) ** 2, axis=-1), rtol=1e-4)


def test_diversity_compares_samples_of_one_start_frame():
    chosen = METRICS["diversity_i3d"]
    samples = np.stack([_FRAMES, -_FRAMES], axis=1)
    pixel = resize(jnp.asarray(_FRAMES), 224, 224, "tf1_legacy")[:, 0, 1, 1]
    difference = np.asarray((pixel + 0.224) - (-pixel + 0.224))
    np.testing.assert_allclose(chosen.extract({}, samples), np.mean(difference**2, axis=-1), rtol=1e-4)


def test_curves_without_a_network():
    chosen = METRICS["psnr"]
    assert chosen.weights_sha256() == NO_WEIGHTS
    noisy = _FRAMES * 0.9
    np.testing.assert_allclose(chosen.extract({}, _FRAMES, noisy), psnr_per_frame(_FRAMES, noisy), rtol=1e-5)


def test_names_are_unique():
    assert all(name == metric.name for name, metric in METRICS.items())
    with pytest.raises(UserError) as raised:
        register(dataclasses.replace(METRICS["psnr"], title="another"))
    assert raised.value.value == "psnr"
    register(METRICS["psnr"])  # the same again


def test_people_read_words_and_units():
    assert (METRICS["psnr"].full_name, METRICS["psnr"].unit) == ("Peak signal-to-noise ratio", "dB")
    assert all(metric.title and metric.full_name for metric in METRICS.values())
    assert {metric.reads for metric in METRICS.values()} == set(Reads)


class Products(NoWeights, PairMetric):
    """Has one product of matrices and one convolution."""

    def extract(self, variables, *videos):
        real, made = videos
        blurred = jax.lax.conv(real[:, 0], jnp.ones((1, 16, 3, 3)), (1, 1), "SAME")
        return jnp.sum(real[:, :, 0, :, 0] @ made[:, :, 0, :, 0].mT, axis=-1) + jnp.sum(blurred)


@pytest.mark.parametrize("name", ["extract", "extract_in_float32"])
def test_products_are_precise_on_accelerators(name):
    metric = Products(name="products", title="", full_name="")
    precise = [
        equation.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2
        for equation in jax.make_jaxpr(getattr(metric, name))({}, _FRAMES, _FRAMES).eqns
        if "precision" in equation.params
    ]
    assert precise == [name == "extract_in_float32"] * 2
