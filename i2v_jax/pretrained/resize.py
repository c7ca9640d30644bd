"""Bilinear resizing with the three corner rules of published metrics. Another rule gives another value."""

from typing import Literal

import jax
import numpy as np

from i2v_jax.models.resampling import interpolate

Corners = Literal["tf1_legacy", "half_pixel", "aligned"]


def resize(images: jax.Array, height: int, width: int, corners: Corners) -> jax.Array:
    """Returns images resized bilinearly, without anti-aliasing: [..., H, W, C] -> [..., height, width, C].

    Args:
      images: floating point, any leading axes.
      corners: where the output pixel j of n lies among the N input pixels, edge pixels being repeated outwards:
        "tf1_legacy" j N / n (TensorFlow 1, the published FVD), "half_pixel" (j + 1/2) N / n - 1/2 (FID),
        "aligned" j (N - 1) / (n - 1) (the authors' I3D ports).
    """
    if images.shape[-3:-1] == (height, width):
        return images
    return interpolate(
        images, _positions(images.shape[-3], height, corners), _positions(images.shape[-2], width, corners)
    )


def _positions(size_in: int, size_out: int, corners: Corners) -> np.ndarray:
    """Returns the positions of the output pixels, in input pixels."""
    index = np.arange(size_out)
    if corners == "aligned":
        return index * (size_in - 1) / max(size_out - 1, 1)
    shift = 0.5 if corners == "half_pixel" else 0.0
    return np.clip((index + shift) * size_in / size_out - shift, 0, size_in - 1)
