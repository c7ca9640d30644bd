"""What a user may ask of a motion, as the numbers that the flow is conditioned on (cINN paper, controlled synthesis).

Directions are bins of ten degrees, the convention of `input/directions.py`. Endpoints are positions of the robot's end
effector in the last frame, in the coordinates of the BAIR data set. Both are one-hots. Pokes, which neither paper has
as a control, are continuous: nearby pokes have nearby encodings.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from i2v_jax.errors import UserError

ControlKind = Literal["none", "direction", "endpoint", "poke"]
KINDS: tuple[ControlKind, ...] = get_args(ControlKind)

DIRECTION_BINS = 36
ENDPOINT_BINS = 10  # for each of x, y and z
POKE_GRID = 8  # nodes along each axis, the first and the last on the frame's edges
_ENDPOINT_MINIMUM = np.array([0.42638585, -0.3080245, 0.19146784], np.float32)
_ENDPOINT_EXTENT = np.array([0.42850533, 0.54029283, 0.12564658], np.float32)
# The arrays of a batch (`input/pipeline.py`) that the control of its clips is made of.
_CLIP_ARRAYS: Mapping[ControlKind, tuple[str, ...]] = {
    "none": (),
    "direction": ("direction",),
    "endpoint": ("endpoint",),
    "poke": ("poke_position", "poke_displacement"),
}


def control_width(kind: ControlKind) -> int:
    """The number of values that a control of this kind adds to the flow's condition."""
    return {"none": 0, "direction": DIRECTION_BINS, "endpoint": 3 * ENDPOINT_BINS, "poke": 3 * POKE_GRID**2}[kind]


def endpoint_bins(positions: jax.Array) -> jax.Array:
    """Positions [..., 3] of the end effector -> bins [..., 3] in 0..9, truncated towards zero like the release."""
    fraction = (positions - _ENDPOINT_MINIMUM) / _ENDPOINT_EXTENT
    return jnp.clip(jnp.trunc(ENDPOINT_BINS * fraction - 1e-4).astype(jnp.int32), 0, ENDPOINT_BINS - 1)


def poke_values(positions: ArrayLike, displacements: ArrayLike, size: int) -> jax.Array:
    """Pokes in pixels of frames of `size` x `size` -> [B, 4] as `encode_control` takes them, in frame widths.

    `positions` [B, 2] are (x, y), pixel (0, 0) having its middle at (0, 0); `displacements` [B, 2] are (dx, dy).
    """
    return jnp.concatenate([(jnp.asarray(positions) + 0.5) / size, jnp.asarray(displacements) / size], axis=-1)


def encode_control(kind: ControlKind, values: ArrayLike) -> jax.Array:
    """The part of the flow's condition that stands for the control eta.

    Args:
        kind: "direction": `values` are bins [B] in 0..35, the result is [B, 36]; "endpoint": `values` are positions
            [B, 3], the result is three one-hots [B, 30]; "poke": `values` are [B, 4] as of `poke_values`, the result
            is [B, 192]; "none": of `values` [B, ...] only the batch size counts, the result is [B, 0].
        values: as `kind` says.

    Returns:
        float32. A poke is laid on a grid of 8 x 8 nodes, row by row, three numbers each: the node's share of the poked
        place by bilinear interpolation, and that share of the displacement, in distances between nodes.

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
    if kind == "poke":
        return _encode_pokes(array.astype(jnp.float32))
    raise ValueError(f"unknown control {kind!r}: none, direction, endpoint or poke")


def clip_arrays(kind: ControlKind) -> tuple[str, ...]:
    """The names of the arrays of a batch that `clip_control` reads."""
    return _CLIP_ARRAYS[kind]


def clip_control(kind: ControlKind, clips: Mapping[str, ArrayLike], size: int) -> jax.Array:
    """eta [B, n] of clips: what their own motion would have been asked for with.

    Args:
        kind: not "none".
        clips: arrays as of `input/pipeline.py`.
        size: height and width of their frames.

    Raises:
        UserError: they do not carry what the control is made of.
    """
    missing = [name for name in clip_arrays(kind) if name not in clips]
    if missing:
        raise UserError(f"the clips carry no {' and no '.join(missing)}, which control by {kind} needs")
    first, *others = (clips[name] for name in clip_arrays(kind))
    return encode_control(kind, poke_values(first, others[0], size) if kind == "poke" else first)


def random_control(kind: ControlKind, rng: jax.Array, count: int) -> jax.Array:
    """Controls drawn uniformly over the bins, encoded as by `encode_control`: [count, n].

    Raises:
        UserError: for pokes. Which of them make sense depends on the picture.
    """
    if kind == "poke":
        raise UserError("this model is controlled by pokes, which are not drawn at random: give one")
    if kind == "endpoint":
        return _encode_endpoint_bins(jax.random.randint(rng, (count, 3), 0, ENDPOINT_BINS))
    return encode_control(kind, jax.random.randint(rng, (count,), 0, DIRECTION_BINS))


def _encode_endpoint_bins(bins: jax.Array) -> jax.Array:
    one_hots = jax.nn.one_hot(bins, ENDPOINT_BINS, dtype=jnp.float32)
    return one_hots.reshape(bins.shape[0], 3 * ENDPOINT_BINS)


def _encode_pokes(values: jax.Array) -> jax.Array:
    cells = POKE_GRID - 1
    places, displacements = cells * jnp.clip(values[:, :2], 0.0, 1.0), cells * values[:, 2:]
    shares = jnp.maximum(0.0, 1.0 - jnp.abs(places[:, :, None] - jnp.arange(POKE_GRID)))  # [B, (x, y), nodes]
    weight = shares[:, 1, :, None] * shares[:, 0, None, :]  # [B, rows, columns]
    channels = jnp.concatenate([jnp.ones_like(displacements[:, :1]), displacements], axis=-1)
    return (weight[..., None] * channels[:, None, None, :]).reshape(values.shape[0], 3 * POKE_GRID**2)
