"""Is this what a metric may be computed from? Each check raises UserError with one line that names set and fault."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from i2v_jax.errors import UserError

# Decoders end in tanh and pictures in rounding: what lies beyond this is of another range.
_TOLERANCE = 1e-2


def check_videos(name: str, videos: ArrayLike, first: int = 0) -> None:
    """Videos [B, T, H, W, 3] in [-1, 1]: finite, of that range, and none of a single color throughout.

    Args:
        name: of the set, for the message ("real", "generated").
        videos: as many as there are: frames in [0, 1] are known by having no pixel darker than gray in any of them.
        first: number of the first one, for the message.

    Raises:
        UserError: otherwise.
    """
    lowest, highest = check_batch(name, videos, first)
    check_range(name, lowest, highest)


def check_batch(name: str, videos: ArrayLike, first: int = 0) -> tuple[float, float]:
    """`check_videos` for some of the videos of a set, which may all be bright: not taken for [0, 1].

    Returns:
        The extreme values, for `check_range` of those of the whole set.
    """
    videos = np.asarray(videos)
    if videos.ndim != 5 or videos.shape[-1] != 3 or not videos.size:
        raise UserError(f"{name} videos have shape {videos.shape}, [clips, frames, height, width, 3] is needed")
    if np.issubdtype(videos.dtype, np.integer):
        raise UserError(f"{name} videos hold integers ({videos.dtype}): frames must be float in [-1, 1], x / 127.5 - 1")
    flat = videos.reshape(len(videos), -1)
    _refuse(name, ~np.isfinite(flat).all(axis=1), first, "holds NaN or infinity")
    lowest, highest = float(flat.min()), float(flat.max())
    check_range(name, min(lowest, -1.0) if highest <= 1 + _TOLERANCE else lowest, highest)
    _refuse(name, flat.min(axis=1) == flat.max(axis=1), first, "is constant: every pixel of every frame is the same")
    return lowest, highest


def check_range(name: str, lowest: float, highest: float) -> None:
    """The extreme values of a whole set of videos. Raises UserError for ranges other than [-1, 1], naming them."""
    found = f"{name} videos have values from {lowest:.4g} to {highest:.4g}"
    if highest > 1 + _TOLERANCE and lowest >= 0:
        raise UserError(f"{found}, which looks like [0, 255]: frames must be in [-1, 1], x / 127.5 - 1")
    if highest > 1 + _TOLERANCE or lowest < -1 - _TOLERANCE:
        raise UserError(f"{found}: frames must be in [-1, 1]")
    if lowest >= 0 and highest > lowest:
        raise UserError(f"{found}, which looks like [0, 1]: frames must be in [-1, 1], 2 x - 1")


def check_same_shape(name: str, videos: ArrayLike, other_name: str, others: ArrayLike) -> None:
    """Raises UserError when videos that are compared one by one differ in number, length or size."""
    shape, other = np.shape(videos), np.shape(others)
    if shape[:1] != other[:1]:
        raise UserError(f"{shape[0]} {name} but {other[0]} {other_name} videos: each needs its counterpart")
    if shape != other:
        raise UserError(f"{name} videos have shape {shape}, {other_name} ones {other}: length and size must be equal")


def check_clip_count(name: str, count: int, minimum: int) -> None:
    """Raises UserError when a metric has too few clips."""
    if count < minimum:
        raise UserError(f"{count} {name} clips are too few, this needs {minimum} or more: evaluate more clips")


def check_clip_length(backbone: str, frames: int, minimum: int) -> None:
    """Raises UserError when clips are shorter than a backbone can take."""
    if frames < minimum:
        raise UserError(f"clips of {frames} frames are too short for {backbone}, which needs {minimum} or more")


def check_features(name: str, features: ArrayLike) -> NDArray[np.float64]:
    """Features [N, D] as float64. Raises UserError when one is not finite or there are fewer than two."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2:
        raise UserError(f"{name} features have shape {features.shape}, [clips, dimensions] is needed")
    check_clip_count(name, len(features), 2)
    _refuse(name, ~np.isfinite(features).all(axis=1), 0, "has features that are NaN or infinite", "clip")
    return features


def _refuse(name: str, bad: NDArray[np.bool_], first: int, fault: str, what: str = "video") -> None:
    if bad.any():
        number, others = first + int(np.argmax(bad)), int(bad.sum()) - 1
        raise UserError(f"{name} {what} {number} {fault}" + (f" (and {others} more)" if others else ""))
