"""What a user asks of a motion, as the control eta."""

import math

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import directions
from i2v_jax.tasks.control import ControlKind, encode_control


def requested_control(kind: ControlKind, direction: float | None, endpoint: str | None) -> np.ndarray | None:
    """eta [1, n] of what the user asked for, None if nothing.

    Args:
        kind: what the model was trained with.
        direction: degrees on the screen, 0 is right, 90 is up.
        endpoint: "x,y,z" in the data set's coordinates.

    Raises:
        UserError: the model has no such control, or the value is none.
    """
    for name, value in (("direction", direction), ("endpoint", endpoint)):
        if value is not None and kind != name:
            has = "no control" if kind == "none" else f"control by {kind} only"
            raise UserError(f"{name}: this model was trained with {has}; train one with config.control={name!r}")
    if direction is not None:
        if not math.isfinite(direction):
            raise UserError(f"direction {direction:g}: degrees are needed, like 90")
        return np.asarray(encode_control("direction", np.array([directions.direction_bin(direction)])))
    if endpoint is not None:
        return np.asarray(encode_control("endpoint", np.array([_position(endpoint)], np.float32)))
    return None


def _position(text: str) -> list[float]:
    try:
        position = [float(part) for part in text.split(",")]
    except ValueError:
        position = []
    if len(position) != 3 or not np.isfinite(position).all():
        raise UserError(f"endpoint {text!r}: three numbers are needed, like 0.6,0.1,0.25")
    return position
