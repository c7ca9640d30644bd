"""LPIPS curves and diversity VGG against the networks applied frame by frame, sample by sample."""

import dataclasses
import itertools
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from i2v_jax.metrics.registry import METRICS
from i2v_jax.pretrained.networks import lpips, vgg
from i2v_jax.pretrained.networks.lpips import LPIPS
from i2v_jax.pretrained.networks.vgg import VGG
from tests.models.random_variables import random_variables

_RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def variables() -> Iterator[dict]:
    """Returns random weights of a narrow VGG16 that keep the scale of activations."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (vgg, lpips):
            patch.setattr(module, "CHANNELS", (4, 4, 8, 8, 8))
        yield _variables()


def _variables() -> dict:
    frame = np.zeros((1, 16, 16, 3), np.float32)
    drawn = random_variables(LPIPS(), frame, frame)["params"]
    convolutions = {
        name: {
            "kernel": _RNG.standard_normal(layer["kernel"].shape).astype(np.float32)
            * np.sqrt(2 / np.prod(layer["kernel"].shape[:3])).astype(np.float32),
            "bias": np.zeros(layer["bias"].shape, np.float32),
        }
        for name, layer in drawn["vgg"].items()
    }
    heads = {name: np.abs(head) for name, head in drawn.items() if name.startswith("head")}
    return {"params": {"vgg": convolutions, **heads}}


def test_the_lpips_curve_is_that_of_each_pair_of_frames(variables: dict) -> None:
    truth, video = _RNG.uniform(-1, 1, (2, 2, 3, 16, 16, 3)).astype(np.float32)
    curve = jax.jit(METRICS["lpips"].extract)(variables, truth, video)
    assert curve.shape == (2, 3)
    distance = jax.jit(LPIPS().apply)
    expected = [[distance(variables, truth[b, t : t + 1], video[b, t : t + 1])[0] for t in range(3)] for b in range(2)]
    assert np.std(expected) > 0
    np.testing.assert_allclose(curve, expected, rtol=1e-4)


def test_diversity_vgg_is_the_mean_over_pairs_layers_and_frames(variables: dict) -> None:
    """Inputs are normalized with ImageNet's mean and deviation and have VGG's input size, here 32 to save time."""
    metric = METRICS["diversity_vgg"]
    metric = dataclasses.replace(metric, preprocessing=dataclasses.replace(metric.preprocessing, size=32))
    samples = _RNG.uniform(-1, 1, (2, 3, 2, 32, 32, 3)).astype(np.float32)
    found = jax.jit(metric.extract)(variables, samples)
    normal = ((samples + 1) / 2 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    features = jax.jit(VGG(16).apply)({"params": variables["params"]["vgg"]}, normal.reshape(-1, 32, 32, 3))
    layers = [np.asarray(features[layer]) for layer in (3, 8, 15, 22, 29)]  # relu1_2 ... relu5_3 of torchvision
    layers = [layer.reshape(2, 3, 2, *layer.shape[1:]) for layer in layers]
    pairs = list(itertools.permutations(range(3), 2))
    for b in range(2):
        values = [np.mean((layer[b, i] - layer[b, j]) ** 2) for layer in layers for i, j in pairs]
        np.testing.assert_allclose(found[b], np.mean(values), rtol=1e-3)
