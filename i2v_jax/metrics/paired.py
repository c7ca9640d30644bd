"""Metrics that compare one video with another, as pure functions of arrays.

`*_per_frame` return curves over time, [B, T]; the metric of a video is their mean.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from i2v_jax.errors import UserError
from i2v_jax.pixels import to_unit

_DATA_RANGE = 1.0  # the metrics are defined on frames in [0, 1]
_WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03


def psnr(truth: ArrayLike, video: ArrayLike) -> jax.Array:
    """Returns the peak signal-to-noise ratio in dB: 10 log10(1 / MSE) of each frame on [0, 1], averaged over frames.

    Args:
        truth: [B, T, H, W, C] in [-1, 1].
        video: the same shape and range.

    Returns:
        [B], infinite where a frame is reproduced exactly.
    """
    return jnp.mean(psnr_per_frame(truth, video), axis=1)


def psnr_per_frame(truth: ArrayLike, video: ArrayLike) -> jax.Array:
    """Returns `psnr` of each frame, [B, T]."""
    mean_squares = jnp.mean(jnp.square(_unit_range(truth) - _unit_range(video)), axis=(2, 3, 4))
    return -10 * jnp.log10(mean_squares / _DATA_RANGE**2)


def ssim(truth: ArrayLike, video: ArrayLike) -> jax.Array:
    """Returns the structural similarity (Wang et al. 2004), the mean over positions and frames.

    The window is 11x11 and Gaussian with sigma 1.5.

    Only windows that lie inside the frame count; variances are those of the weighted window (not the unbiased ones),
    and each channel is taken by itself.

    Args:
        truth: [B, T, H, W, C] in [-1, 1], H and W at least 11.
        video: the same shape and range.

    Returns:
        [B], 1 for equal videos.

    Raises:
        UserError: the frames are smaller than the window.
    """
    return jnp.mean(ssim_per_frame(truth, video), axis=1)


def ssim_per_frame(truth: ArrayLike, video: ArrayLike) -> jax.Array:
    """Returns `ssim` of each frame, [B, T]."""
    x, y = _unit_range(truth), _unit_range(video)
    height, width = x.shape[2:4]
    if min(height, width) < _WINDOW:
        raise UserError(
            f"frames of {height}x{width} are too small for SSIM (must be at least {_WINDOW}x{_WINDOW})",
            "frames",
            (height, width),
        )
    mean_x, mean_y = _blur(x), _blur(y)
    # Variances do not depend on the frame's mean, but float32 loses a small one on a bright frame.
    x, y = x - x.mean(axis=(2, 3), keepdims=True), y - y.mean(axis=(2, 3), keepdims=True)
    variance_x = _blur(x * x) - jnp.square(_blur(x))
    variance_y = _blur(y * y) - jnp.square(_blur(y))
    covariance = _blur(x * y) - _blur(x) * _blur(y)
    c1, c2 = (_K1 * _DATA_RANGE) ** 2, (_K2 * _DATA_RANGE) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return jnp.mean(luminance * structure, axis=(2, 3, 4))


def image_distance_per_frame(
    distance: Callable[[jax.Array, jax.Array], jax.Array], truth: ArrayLike, video: ArrayLike
) -> jax.Array:
    """Returns the curve [B, T] of a distance between images, such as LPIPS with its weights bound.

    Args:
        distance: images [N, H, W, C] and [N, H, W, C] -> [N].
        truth: [B, T, H, W, C] in the range that the distance takes.
        video: the same shape and range.
    """
    truth, video = jnp.asarray(truth), jnp.asarray(video)
    frames = (images.reshape(-1, *images.shape[2:]) for images in (truth, video))
    return distance(*frames).reshape(truth.shape[:2])


def _unit_range(video: ArrayLike) -> jax.Array:
    return to_unit(jnp.asarray(video, jnp.float32))


def _blur(video: jax.Array) -> jax.Array:
    """Returns the Gaussian mean of each window inside the frame: [B, T, H, W, C] -> [B, T, H - 10, W - 10, C]."""
    offsets = jnp.arange(_WINDOW) - (_WINDOW - 1) / 2
    weights = jnp.exp(-0.5 * jnp.square(offsets / _SIGMA))
    weights = weights / weights.sum()
    for axis in (2, 3):
        size = video.shape[axis] - _WINDOW + 1
        shifted = [jax.lax.slice_in_dim(video, start, start + size, axis=axis) for start in range(_WINDOW)]
        video = sum(weight * part for weight, part in zip(weights, shifted, strict=True))
    return video
