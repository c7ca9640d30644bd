"""Metrics with cheap features in place of a backbone, which needs no weights."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from i2v_jax.metrics.base import Metric
from i2v_jax.metrics.frechet_metrics import FrechetMetric, FrechetOfFrames
from i2v_jax.metrics.kinds import ClipDiversity, PairMetric
from i2v_jax.metrics.registry import METRICS


def in_place_of(name: str, cls: type[Metric], **changes: Any) -> Metric:
    """Returns a `cls` with the fields of a registered metric."""
    metric = METRICS[name]
    fields = {field.name: getattr(metric, field.name) for field in dataclasses.fields(metric)}
    return cls(**{**fields, **changes})


class NoWeights:
    def load(self):
        return {}

    def weights_sha256(self):
        return "ab" * 32


def brightness(videos):
    """Returns the means over four quarters of 16 frames, [..., 4]."""
    means = jnp.mean(videos, axis=(-3, -2, -1))
    return means[..., :16].reshape(*means.shape[:-1], 4, 4).mean(axis=-1)


class BrightnessDistance(NoWeights, FrechetMetric):
    def extract(self, variables, *videos):
        return brightness(*videos)


class PixelsOfFrames(NoWeights, FrechetOfFrames):
    """Six values of two pixels of each frame."""

    def extract(self, variables, *videos):
        (video,) = videos
        return video[:, :, 8, 4:6].reshape(*video.shape[:2], 6)


class BrightnessDiversity(NoWeights, ClipDiversity):
    def extract(self, variables, *videos):
        return jnp.var(brightness(*videos), axis=(1, 2))


class SquaredError(NoWeights, PairMetric):
    def extract(self, variables, *videos):
        real, made = videos
        return jnp.mean((real - made) ** 2, axis=(2, 3, 4))
