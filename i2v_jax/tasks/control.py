"""What a user may ask of a motion, as the one-hots that the flow is conditioned on (cINN paper, controlled synthesis).

Directions are bins of ten degrees, the convention of `input/directions.py`. Endpoints are positions of the robot's end
effector in the last frame, in the coordinates of the BAIR data set.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

ControlKind = Literal["none", "direction", "endpoint"]

DIRECTION_BINS = 36
ENDPOINT_BINS = 10  # for each of x, y and z
_ENDPOINT_MINIMUM = np.array([0.42638585, -0.3080245, 0.19146784], np.float32)
_ENDPOINT_EXTENT = np.array([0.42850533, 0.54029283, 0.12564658], np.float32)


def control_width(kind: ControlKind) -> int:
    """The number of values that a control of this kind adds to the flow's condition."""
    return {"none": 0, "direction": DIRECTION_BINS, "endpoint": 3 * ENDPOINT_BINS}[kind]


def endpoint_bins(positions: jax.Array) -> jax.Array:
    """Positions [..., 3] of the end effector -> bins [..., 3] in 0..9, truncated towards zero like the release."""
    fraction = (positions - _ENDPOINT_MINIMUM) / _ENDPOINT_EXTENT
    return jnp.clip(jnp.trunc(ENDPOINT_BINS * fraction - 1e-4).astype(jnp.int32), 0, ENDPOINT_BINS - 1)


def encode_control(kind: ControlKind, values: ArrayLike) -> jax.Array:
    """The part of the flow's condition that stands for the control eta.

    Args:
        kind: "direction": `values` are bins [B] in 0..35, the result is [B, 36]; "endpoint": `values` are positions
            [B, 3], the result is three one-hots [B, 30]; "none": of `values` [B, ...] only the batch size counts, the
            result is [B, 0].
        values: as `kind` says.

    Returns:
        One-hots, float32.

    Raises:
        ValueError: for an unknown kind.
    """
    array = jnp.asarray(values)
    if kind == "none":
        return jnp.zeros((array.shape[0], 0), jnp.float32)
    if kind == "direction":
        return jax.nn.one_hot(array, DIRECTION_BINS, dtype=jnp.float32)
    if kind == "endpoint":
        return _encode_endpoint_bins(endpoint_bins(array))
    raise ValueError(f"unknown control {kind!r}: none, direction or endpoint")


def random_control(kind: ControlKind, rng: jax.Array, count: int) -> jax.Array:
    """Controls drawn uniformly over the bins, encoded as by `encode_control`: [count, n]."""
    if kind == "endpoint":
        return _encode_endpoint_bins(jax.random.randint(rng, (count, 3), 0, ENDPOINT_BINS))
    return encode_control(kind, jax.random.randint(rng, (count,), 0, DIRECTION_BINS))


def _encode_endpoint_bins(bins: jax.Array) -> jax.Array:
    one_hots = jax.nn.one_hot(bins, ENDPOINT_BINS, dtype=jnp.float32)
    return one_hots.reshape(bins.shape[0], 3 * ENDPOINT_BINS)
