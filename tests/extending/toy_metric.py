"""A metric that is added from outside of the package, as `docs/extending.md` shows."""

from typing import Any

import jax
import jax.numpy as jnp

from i2v_jax.metrics.kinds import PairMetric
from i2v_jax.metrics.registry import register
from i2v_jax.pixels import to_levels


class BrightnessError(PairMetric):
    """The absolute difference between the mean brightness of the real and of the generated frame, [B, T]."""

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        real, generated = (jnp.mean(to_levels(video), axis=(2, 3, 4)) for video in videos)
        return jnp.abs(real - generated)


register(
    BrightnessError(
        name="brightness_error", title="Brightness error", full_name="Difference of mean brightness", unit="levels"
    )
)
