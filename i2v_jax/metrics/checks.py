"""Checks that a metric can be computed from an array. Each raises a UserError whose field is the name of the set."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from i2v_jax.errors import UserError

# Decoders end in tanh and pictures in rounding: values beyond this are of another range.
_TOLERANCE = 1e-2


def check_batch(name: str, videos: ArrayLike, first: int = 0) -> tuple[float, float]:
    """Checks some of the videos of a set: [B, T, H, W, 3] in [-1, 1], finite, and none of one color throughout.

    Frames in [0, 1] pass, since all videos of a batch may be bright: `check_range` finds them in the whole set.

    Args:
        name: of the set ("real", "generated").
        videos: the batch.
        first: the number of its first video, for messages.

    Returns:
        The smallest and the largest value.

    Raises:
        UserError: the videos are invalid.
    """
    videos = np.asarray(videos)
    if videos.ndim != 5 or videos.shape[-1] != 3 or not videos.size:
        raise UserError(
            f"invalid shape of {name} videos: {videos.shape} (must be [clips, frames, height, width, 3])",
            field=name,
            value=videos.shape,
        )
    if np.issubdtype(videos.dtype, np.integer):
        raise UserError(
            f"{name} videos hold integers ({videos.dtype}): convert them to floats in [-1, 1], x / 127.5 - 1",
            field=name,
            value=str(videos.dtype),
        )
    flat = videos.reshape(len(videos), -1)
    _refuse(name, ~np.isfinite(flat).all(axis=1), first, "holds NaN or infinity")
    lowest, highest = float(flat.min()), float(flat.max())
    check_range(name, min(lowest, -1.0) if highest <= 1 + _TOLERANCE else lowest, highest)
    _refuse(name, flat.min(axis=1) == flat.max(axis=1), first, "is constant: every pixel of every frame is the same")
    return lowest, highest


def check_range(name: str, lowest: float, highest: float) -> None:
    """Checks the smallest and the largest value of a whole set of videos.

    Raises:
        UserError: the range is not [-1, 1]. A set without a pixel darker than gray is taken for [0, 1].
    """
    found = f"{name} videos have values from {lowest:.4g} to {highest:.4g}"
    problem = ""
    if highest > 1 + _TOLERANCE and lowest >= 0:
        problem = f"{found}, which looks like [0, 255]: convert them to [-1, 1], x / 127.5 - 1"
    elif highest > 1 + _TOLERANCE or lowest < -1 - _TOLERANCE:
        problem = f"{found}: convert them to [-1, 1]"
    elif lowest >= 0 and highest > lowest:
        problem = f"{found}, which looks like [0, 1]: convert them to [-1, 1], 2 x - 1"
    if problem:
        raise UserError(problem, field=name, value=(lowest, highest))


def check_same_shape(name: str, videos: ArrayLike, other_name: str, others: ArrayLike) -> None:
    """Raises UserError if two sets that are compared clip by clip differ in number, length or size."""
    shape, other = np.shape(videos), np.shape(others)
    if shape != other:
        raise UserError(
            f"{name} videos have shape {shape}, but {other_name} videos {other}: they must be equal",
            field=name,
            value=shape,
        )


def check_features(name: str, features: ArrayLike) -> NDArray[np.float64]:
    """Returns features [N, D] as float64. Raises UserError if one is not finite or there are fewer than two."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2:
        raise UserError(
            f"invalid shape of {name} features: {features.shape} (must be [clips, dimensions])",
            field=name,
            value=features.shape,
        )
    if len(features) < 2:
        raise UserError(f"too few {name} clips: {len(features)} (must be at least 2)", field=name, value=len(features))
    _refuse(name, ~np.isfinite(features).all(axis=1), 0, "has features that are NaN or infinite", "clip")
    return features


def _refuse(name: str, bad: NDArray[np.bool_], first: int, fault: str, what: str = "video") -> None:
    if bad.any():
        number, others = first + int(np.argmax(bad)), int(bad.sum()) - 1
        more = f" (and {others} more)" if others else ""
        raise UserError(f"{name} {what} {number} {fault}{more}", field=name, value=number)
