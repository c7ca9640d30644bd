"""Arrays on their way to and from the devices: chunks of equal size, and checks of what users pass."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike, NDArray

from i2v_jax import logs
from i2v_jax.errors import UserError
from i2v_jax.input import pokes

Array = NDArray[np.float32]


def in_chunks(
    function: Callable[..., jax.Array],
    variables: Any,
    *arrays: NDArray[Any],
    chunk: int,
    progress: str = "",
    mesh: Mesh | None = None,
) -> Array:
    """Returns `function(variables, *arrays)`, computed at most `chunk` rows at a time, as float32 on the host.

    Every chunk has the same number of rows, so that the function compiles once for any number of them.

    Args:
        function: compiled; it returns as many rows as each array has.
        variables: its first argument, already on the devices.
        arrays: [B, ...] each, B at least 1.
        chunk: rows at a time; the last chunk is filled up by repeating its last row.
        progress: label of a progress bar; an empty one hides the bar.
        mesh: of one axis, whose devices share each chunk; `variables` are on all of them then.
    """
    count = len(arrays[0])
    size = min(chunk, 1 << (count - 1).bit_length())  # a power of two below a whole chunk: few programs
    sharding = None
    if mesh is not None:
        size = -(-size // mesh.size) * mesh.size
        sharding = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
    results = []
    for start in logs.progress(range(0, count, size), desc=progress, unit="chunk", disable=not progress, leave=False):
        parts = [jax.device_put(_filled(array[start : start + size], size), sharding) for array in arrays]
        results.append(np.asarray(jax.device_get(function(variables, *parts)), np.float32))
    return np.concatenate(results)[:count]


def on_every_device(tree: Any, mesh: Mesh | None) -> Any:
    """Places a pytree on all devices of the mesh, or on the default device."""
    return jax.device_put(tree, None if mesh is None else NamedSharding(mesh, PartitionSpec()))


def _filled(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Repeats the last row until there are `size` rows."""
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def wrong_shape(name: str, array: NDArray[Any], needed: str) -> UserError:
    """Returns the error for an argument of the wrong shape."""
    shape = list(array.shape)
    return UserError(f"invalid shape of {name}: {shape} (must be {needed})", field=name, value=shape)


def checked_frames(frames: ArrayLike, size: int) -> Array:
    """Returns start frames [B, size, size, 3] as float32. Raises UserError for another shape."""
    array = np.asarray(frames, np.float32)
    if array.ndim != 4 or array.shape[1:] != (size, size, 3) or not len(array):
        raise wrong_shape("start_frames", array, f"[B, {size}, {size}, 3]")
    return array


def checked_pokes(
    positions: ArrayLike, displacements: ArrayLike, size: int, *, impulse: bool = False
) -> tuple[Array, Array]:
    """Positions [B, 2] and displacements [B, 2] as float32, in pixels of frames of `size` x `size`.

    `impulse`: displacements are directions of length at most 1.

    Raises:
        UserError: another shape; an invalid poke (`input.pokes.check_poke`).
    """
    places, shifts = np.asarray(positions, np.float32), np.asarray(displacements, np.float32)
    if places.ndim != 2 or places.shape[1] != 2 or not len(places):
        raise wrong_shape("positions", places, "[B, 2]")
    if shifts.shape != places.shape:
        raise wrong_shape("displacements", shifts, f"[{len(places)}, 2] as that of positions")
    for position, displacement in zip(places, shifts, strict=True):
        pokes.check_poke(tuple(position), tuple(displacement), size, size, impulse=impulse)
    return places, shifts


def frame_for_each(start_frames: ArrayLike, count: int, size: int) -> Array:
    """Returns `count` start frames, from as many or one for all, [B, size, size, 3]. Raises UserError for others."""
    x0 = checked_frames(start_frames, size)
    if len(x0) not in (1, count):
        raise UserError(
            f"{len(x0)} start frames do not pair up with {count} pokes: give one frame for all, or one for each",
            field="start_frames",
            value=len(x0),
        )
    return np.broadcast_to(x0, (count, *x0.shape[1:]))
