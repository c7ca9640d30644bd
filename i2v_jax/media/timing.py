"""When frames are shown: variable frame rates, and resampling to a constant one."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

_Frame = TypeVar("_Frame")
_IRREGULAR, _IRREGULAR_SHARE = 0.4, 0.02  # gaps that differ by more from the usual one, and their share of a video
_ROUNDING = 0.01  # of a frame: containers round time stamps


def resampled(frames: Iterable[tuple[_Frame, float]], fps: float) -> Iterator[tuple[_Frame, int]]:
    """Yields the frames that are shown at the moments 0, 1 / fps, 2 / fps, ..., and at how many of them.

    Args:
        frames: each with the seconds for which it is shown.
        fps: frames per second.
    """
    end, done = 0.0, 0
    for frame, seconds in frames:
        end += seconds
        count = math.ceil(end * fps - _ROUNDING) - done
        if count > 0:
            yield frame, count
            done += count


def is_variable(times: Sequence[float]) -> bool:
    """Returns whether a video with these times of frames, in seconds, has a variable frame rate."""
    gaps = np.diff(times)
    if not len(gaps) or not (usual := np.median(gaps)) > 0:
        return False
    return bool(np.mean(np.abs(gaps / usual - 1) > _IRREGULAR) > _IRREGULAR_SHARE)


def resampled_note(fps: float) -> str:
    """Returns what to tell of a video that was resampled: words that complete "3 videos ..."."""
    return f"resampled to {fps:g} frames per second"
