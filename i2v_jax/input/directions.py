"""The convention for directions of motion: degrees and 36 bins.

The angle of a displacement (dx, dy) in image coordinates (x to the right, y down) is `atan2(-dy, dx)` in degrees, in
[0, 360): 0 is to the right, 90 upwards on the screen, 180 to the left, 270 downwards. Bin b holds [10 b, 10 b + 10).
"""

import numpy as np

NUM_DIRECTIONS = 36
BIN_DEGREES = 360 / NUM_DIRECTIONS


def angle_of(dx: float, dy: float) -> float:
    """The direction of the image displacement (dx, dy), in degrees in [0, 360)."""
    return float(np.degrees(np.arctan2(-dy, dx)) % 360.0)


def direction_bin(degrees: float) -> int:
    """The bin 0..35 that holds an angle; any real angle is taken modulo 360."""
    return int(degrees % 360.0 // BIN_DEGREES) % NUM_DIRECTIONS


def bin_center(direction: int) -> float:
    """The middle of a bin, in degrees."""
    return (direction + 0.5) * BIN_DEGREES


def mirrored_bin(direction: int) -> int:
    """The bin of the motion after a horizontal flip: the angle a becomes 180 - a, bin b becomes 17 - b."""
    return (NUM_DIRECTIONS // 2 - 1 - direction) % NUM_DIRECTIONS


def angular_error(a: float, b: float) -> float:
    """The angle between two directions, in degrees in [0, 180]."""
    return abs((a - b + 180.0) % 360.0 - 180.0)
