"""Optical flow between two frames: estimation, reading, and resizing.

A flow map is float32 [h, w, 2], (dx, dy) in pixels of its own size, y down: the contents of pixel (x, y) of the first
frame are at (x + dx, y + dy) in the second frame.
"""

import functools
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.interpolation import linear_weights

SUFFIXES = (".npy", ".flo")
# DIS compares patches of 8 pixels: small frames are enlarged so that such a patch is a small detail.
_ESTIMATE_SIZE = 128
_FLO_MAGIC = 202021.25  # the first four bytes of every .flo file
_ASPECT_TOLERANCE = 0.02


def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Estimates dense optical flow with OpenCV's DIS.

    Args:
        first: uint8 [h, w, 3].
        second: of the same shape.

    Returns:
        float32 [h, w, 2].
    """
    height, width = first.shape[:2]
    scale = max(1.0, _ESTIMATE_SIZE / min(height, width))
    target = (round(width * scale), round(height * scale))
    gray = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    if target != (width, height):
        gray = [cv2.resize(frame, target, interpolation=cv2.INTER_CUBIC) for frame in gray]
    flow = _estimator().calc(*gray, None)
    if target != (width, height):
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA)
        flow = flow * np.array([width / target[0], height / target[1]], np.float32)
    return flow


_LOCAL = threading.local()


def _estimator() -> Any:
    """Returns the estimator of this thread, since it keeps buffers between calls."""
    if not hasattr(_LOCAL, "estimator"):
        _LOCAL.estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return _LOCAL.estimator


def resize(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a flow map [h, w, 2] to [height, width, 2]; its vectors are scaled to pixels of the new size.

    Bilinear with aligned corners: the centers of the corner pixels do not move.
    """
    old_height, old_width = flow.shape[:2]
    if (old_height, old_width) == (height, width):
        return np.asarray(flow, np.float32)
    scaled = flow * np.array([width / old_width, height / old_height])
    rows = np.tensordot(_interpolation(old_height, height), scaled, axes=(1, 0))
    return np.einsum("xw,ywc->yxc", _interpolation(old_width, width), rows).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _interpolation(old: int, new: int) -> np.ndarray:
    """Returns weights [new, old] of linear interpolation; rows sum to 1."""
    positions = np.arange(new) * ((old - 1) / (new - 1)) if new > 1 else np.zeros(1)
    return linear_weights(positions, old)


def fit(flow: np.ndarray, size: int, crop: str, crop_offset: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """Crops and resizes the flow of whole frames as `transforms.fit` does with frames; the arguments are the same."""
    return resize(flow[transforms.seen(flow, crop, crop_offset)], size, size)


def read(path: Path) -> np.ndarray:
    """Reads a precomputed flow map, float32 [h, w, 2].

    Args:
        path: a `.npy` file with an array [h, w, 2] or [2, h, w], or a Middlebury `.flo` file.

    Raises:
        UserError: the file is missing or damaged, has another shape, or has values that are not finite.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file", "file", str(path))
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: a flow file must be {' or '.join(SUFFIXES)}", "file", str(path))
    flow = _read_flo(path) if path.suffix == ".flo" else _read_npy(path)
    if not np.isfinite(flow).all():
        raise UserError(f"{path}: the flow has values that are not finite", "file", str(path))
    return np.ascontiguousarray(flow, np.float32)


def _read_npy(path: Path) -> np.ndarray:
    try:
        flow = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path}: not a NumPy array that can be read ({error})", "file", str(path)) from error
    if not isinstance(flow, np.ndarray) or flow.ndim != 3 or 2 not in (flow.shape[0], flow.shape[2]):
        raise UserError(
            f"{path}: a flow must have the shape [height, width, 2], not {np.shape(flow)}", "file", str(path)
        )
    if flow.dtype.kind not in "fiu":
        raise UserError(f"{path}: a flow must have numbers, not {flow.dtype}", "file", str(path))
    return flow if flow.shape[2] == 2 else flow.transpose(1, 2, 0)


def _read_flo(path: Path) -> np.ndarray:
    data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != np.float32(_FLO_MAGIC):
        raise UserError(f"{path}: not a .flo file", "file", str(path))
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, 4))
    if width < 1 or height < 1 or len(data) != 12 + 8 * width * height:
        raise UserError(f"{path}: {len(data)} bytes do not hold a flow of {width}x{height} pixels", "file", str(path))
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2)


def check_size(flow: np.ndarray, height: int, width: int, path: Path) -> None:
    """Raises UserError unless a precomputed flow has the aspect ratio of its frames or is square."""
    found = flow.shape[1] / flow.shape[0]
    if found != 1.0 and abs(found * height / width - 1.0) > _ASPECT_TOLERANCE:
        raise UserError(
            f"{path}: a flow of {flow.shape[1]}x{flow.shape[0]} pixels does not fit frames of {width}x{height}: "
            "it must have their aspect ratio or be square",
            "file",
            str(path),
        )
