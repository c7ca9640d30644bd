"""Diversity against a loop over all ordered pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.metrics import diversity


def _samples(shape: tuple[int, ...] = (2, 5, 3, 4, 6, 3)) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _over_pairs(features: np.ndarray) -> np.ndarray:
    """[B, S, ...] -> [B]."""
    count = features.shape[1]
    pairs = [
        ((features[:, i] - features[:, j]) ** 2).reshape(len(features), -1).mean(axis=1)
        for i in range(count)
        for j in range(count)
        if i != j
    ]
    assert len(pairs) == count * (count - 1)
    return np.mean(pairs, axis=0)


def _frame_layers(images: jax.Array) -> list[jax.Array]:
    return [images**2, 10 * images[:, ::2, ::2, :1]]


def _clip_features(videos: jax.Array) -> jax.Array:
    return jnp.concatenate([videos.mean(axis=(2, 3)).reshape(len(videos), -1), videos.std(axis=(1, 2, 3))], axis=-1)


def test_pairs() -> None:
    features = _samples((3, 5, 400))
    np.testing.assert_allclose(diversity.pairwise_diversity(features), _over_pairs(features), rtol=1e-5)


def test_two_samples_differ_by_the_square_of_their_difference() -> None:
    features = np.stack([np.full((1, 7), 100.0), np.full((1, 7), 100.5)], axis=1)
    np.testing.assert_allclose(diversity.pairwise_diversity(features), [0.25], rtol=1e-6)
    np.testing.assert_array_equal(diversity.pairwise_diversity(features[:, :1].repeat(5, axis=1)), [0])


def test_clip_diversity() -> None:
    samples = _samples()
    features = np.stack([_clip_features(jnp.asarray(row)) for row in samples])
    np.testing.assert_allclose(diversity.clip_diversity(_clip_features, samples), _over_pairs(features), rtol=1e-5)


def test_frame_diversity_gives_each_layer_and_frame_the_same_weight() -> None:
    samples = _samples()
    per_layer = []
    for layer in range(2):
        features = np.stack([[_frame_layers(jnp.asarray(video))[layer] for video in row] for row in samples])
        per_layer.append(_over_pairs(features))
    found = jax.jit(lambda videos: diversity.frame_diversity(_frame_layers, videos))(samples)
    np.testing.assert_allclose(found, np.mean(per_layer, axis=0), rtol=1e-5)


def test_one_sample_has_no_diversity() -> None:
    for diversity_of, extract in (
        (diversity.clip_diversity, _clip_features),
        (diversity.frame_diversity, _frame_layers),
    ):
        with pytest.raises(UserError) as raised:
            diversity_of(extract, _samples()[:, :1])
        assert raised.value.field == "samples"
