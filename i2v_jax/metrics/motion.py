"""Measures motion by dense optical flow: the direction of a video, the path of a point, and what moves with it."""

import itertools

import cv2
import numpy as np

from i2v_jax.input.directions import angle_of
from i2v_jax.pixels import to_levels

# DIS compares patches of 8 pixels, so small frames are enlarged.
_FLOW_SIZE = 128
_ROBUST_ROUNDS = 5
_TRACKED_SCALE = 4.0


def measure_direction(video: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Returns the direction in which the contents of a video move.

    DIS optical flow between consecutive frames is averaged over the region, each pixel weighted by its structure
    tensor (an edge says nothing about motion along itself, a flat area nothing at all) and down-weighted the further
    it lies from the average.

    Args:
        video: [T, H, W, 3] in [-1, 1], T >= 2.
        mask: [H, W], the region's weight in [0, 1], or None for the whole frame.

    Returns:
        Degrees in [0, 360), by the convention of `input/directions.py`: 0 is right, 90 is up on the screen.

    Raises:
        ValueError: fewer than two frames, or a mask of another size.
    """
    return angle_of(*measure_velocity(video, mask))


def measure_velocity(video: np.ndarray, mask: np.ndarray | None = None) -> tuple[float, float]:
    """Returns the average motion (dx, dy) in pixels per frame, y down; arguments as in `measure_direction`."""
    if video.ndim != 4 or len(video) < 2:
        raise ValueError(f"a video [T, H, W, 3] of at least two frames is needed, got shape {video.shape}")
    height, width = video.shape[1:3]
    if mask is not None and mask.shape != (height, width):
        raise ValueError(f"the mask has shape {mask.shape}, the frames are {(height, width)}")
    scale = max(1.0, _FLOW_SIZE / min(height, width))
    gray = [_enlarged_gray(frame, scale) for frame in video]
    weight = _inner_region(mask if mask is not None else np.ones((height, width)), scale)
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = np.stack([estimator.calc(a, b, None) for a, b in itertools.pairwise(gray)])  # type: ignore[call-overload]
    tensors = np.stack([_structure_tensor(frame) for frame in gray[:-1]]) * weight[..., None]
    dx, dy = _robust_mean(flows.reshape(-1, 2).astype(np.float64), tensors.reshape(-1, 3)) / scale
    return float(dx), float(dy)


def track(video: np.ndarray, position: tuple[float, float]) -> np.ndarray:
    """Returns the position in the last frame of a point in the first frame.

    It uses DIS flow on frames enlarged fourfold. The flows from frame to frame are composed, and the result is refined
    between the first and the last frame, which finds points again that were lost in blurred frames. On `plants`, where
    the truth is known, the error is half a pixel on average at 32x32, where points move by 4.7 pixels.

    Args:
        video: [T, H, W, 3] in [-1, 1], T >= 2.
        position: (x, y) in the first frame; the center of pixel (0, 0) is at (0, 0).

    Returns:
        float64 [2], (x, y) in the last frame.
    """
    gray = [_enlarged_gray(frame, _TRACKED_SCALE) for frame in video]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.zeros((*gray[0].shape, 2), np.float32)
    for first, second in itertools.pairwise(gray):
        flow = _compose(flow, estimator.calc(first, second, None))  # type: ignore[call-overload]
    flow = estimator.calc(gray[0], gray[-1], flow)
    point = (np.asarray(position, np.float64) + 0.5) * _TRACKED_SCALE - 0.5
    return (point + _at(flow, point) + 0.5) / _TRACKED_SCALE - 0.5


def _compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the composition [H, W, 2] of two flows."""
    rows, columns = np.indices(first.shape[:2], np.float32)
    x, y = columns + first[..., 0], rows + first[..., 1]
    return first + cv2.remap(second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _at(image: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Returns the bilinear interpolation [C] of [H, W, C] at (x, y). Points outside are moved to the border."""
    x, y = np.clip(point, 0, np.array(image.shape[1::-1]) - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, image.shape[1] - 1), min(top + 1, image.shape[0] - 1)
    upper = (left + 1 - x) * image[top, left] + (x - left) * image[top, right]
    lower = (left + 1 - x) * image[bottom, left] + (x - left) * image[bottom, right]
    return (top + 1 - y) * upper + (y - top) * lower


def motion_variance(flows: np.ndarray, position: tuple[int, int]) -> np.ndarray:
    """Returns how independently of one pixel each other pixel moves (poke paper, section 4.2).

    Motions are (magnitude, angle), in pixels and radians. The result is the variance over videos of the Euclidean
    distance between the motion of each pixel and that of the pixel at `position`.

    Args:
        flows: [K, H, W, 2], one for each of K videos of the same start frame.
        position: (x, y).

    Returns:
        float32 [H, W], 0 at `position`.
    """
    magnitude, angle = np.hypot(flows[..., 0], flows[..., 1]), np.arctan2(flows[..., 1], flows[..., 0])
    x, y = position
    turn = angle - angle[:, y, x][:, None, None]
    turn = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
    distance = np.hypot(magnitude - magnitude[:, y, x][:, None, None], turn)
    return distance.var(axis=0).astype(np.float32)


def _enlarged_gray(frame: np.ndarray, scale: float) -> np.ndarray:
    pixels = np.clip(to_levels(frame), 0.0, 255.0).astype(np.float32)
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    if scale > 1.0:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    # Dull skies have few gray levels. Spread them before rounding to the 8 bits that DIS takes.
    low, high = np.percentile(gray, (1.0, 99.0))
    return np.clip((gray - low) * (255.0 / max(high - low, 1.0)), 0.0, 255.0).astype(np.uint8)


def _inner_region(mask: np.ndarray, scale: float) -> np.ndarray:
    """Returns the mask at the size of the flow, without the margin where patches see both sides of its border."""
    mask = cv2.resize(mask.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inner = cv2.erode(padded, np.ones((9, 9), np.uint8))[1:-1, 1:-1]
    return inner if inner.sum() > 0 else mask


def _structure_tensor(gray: np.ndarray) -> np.ndarray:
    """Returns gx*gx, gx*gy and gy*gy, [H, W, 3]."""
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.5)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.stack([gx * gx, gx * gy, gy * gy], axis=-1)


def _robust_mean(flows: np.ndarray, tensors: np.ndarray) -> np.ndarray:
    """Returns the v [2] that minimizes sum_i w_i (f_i - v)^T J_i (f_i - v), with Cauchy weights w_i."""
    weights = np.ones(len(flows))
    mean = np.zeros(2)
    for _ in range(_ROBUST_ROUNDS):
        xx, xy, yy = (tensors * weights[:, None]).sum(0)
        normal = np.array([[xx, xy], [xy, yy]]) + 1e-6 * np.eye(2)
        weighted = tensors * weights[:, None]
        right = np.array(
            [
                (weighted[:, 0] * flows[:, 0] + weighted[:, 1] * flows[:, 1]).sum(),
                (weighted[:, 1] * flows[:, 0] + weighted[:, 2] * flows[:, 1]).sum(),
            ]
        )
        mean = np.linalg.solve(normal, right)
        distance = np.hypot(*(flows - mean).T)
        spread = max(float(np.average(distance, weights=tensors[:, 0] + tensors[:, 2] + 1e-12)), 1e-3)
        weights = 1.0 / (1.0 + (distance / spread) ** 2)
    return mean
