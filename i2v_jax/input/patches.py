"""The part of a clip in which something moves, to which the losses of the poke model may be limited.

The release does so in training on Human3.6M, whose frames are mostly a still room.
"""

from collections.abc import Sequence

import numpy as np

from i2v_jax.input import pokes

KINDS = ("none", "flow", "mask")


def looked_at(frames: int) -> tuple[int, ...]:
    """Returns the frames of a clip that decide: the first, the middle and the last one."""
    return (0, frames // 2, frames - 1)


def moving(flow: np.ndarray) -> np.ndarray:
    """Returns where a flow map [H, W, 2] is longer than its mean by one standard deviation, bool [H, W]."""
    amplitude = pokes.amplitude_of(flow)
    return amplitude > amplitude.mean() + amplitude.std()


def rectangle(shown: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the smallest rectangle around what maps [H, W] show, int32 [4]: top, left, height, width.

    It is the whole frame if they show nothing.
    """
    anywhere = np.any(np.asarray(shown) != 0, axis=0)
    if not anywhere.any():
        return np.array([0, 0, *anywhere.shape], np.int32)
    rows, columns = (np.flatnonzero(anywhere.any(axis=axis)) for axis in (1, 0))
    return np.array([rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1], np.int32)
