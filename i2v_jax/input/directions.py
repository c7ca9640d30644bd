"""The convention for directions of motion: degrees and 36 bins.

The angle of a displacement (dx, dy) in image coordinates (x to the right, y down) is `atan2(-dy, dx)` in degrees, in
[0, 360): 0 is right, 90 is up, 180 is left, 270 is down on the screen. Bin b is [10 b, 10 b + 10).
"""

import numpy as np

NUM_DIRECTIONS = 36
BIN_DEGREES = 360 / NUM_DIRECTIONS


def angle_of(dx: float, dy: float) -> float:
    """Returns the direction of the image displacement (dx, dy) in degrees in [0, 360)."""
    return float(np.degrees(np.arctan2(-dy, dx)) % 360.0)


def direction_bin(degrees: float) -> int:
    """Returns the bin 0..35 of an angle, which is taken modulo 360."""
    return int(degrees % 360.0 // BIN_DEGREES) % NUM_DIRECTIONS


def bin_center(direction: int) -> float:
    """Returns the center of a bin in degrees."""
    return (direction + 0.5) * BIN_DEGREES


def mirrored_bin(direction: int) -> int:
    """Returns the bin after a horizontal flip: the angle a becomes 180 - a, and bin b becomes 17 - b."""
    return (NUM_DIRECTIONS // 2 - 1 - direction) % NUM_DIRECTIONS


def angular_error(a: float, b: float) -> float:
    """Returns the angle between two directions in degrees in [0, 180]."""
    return abs((a - b + 180.0) % 360.0 - 180.0)
