"""Work in chunks of equal size, so that a function compiles once for any number of videos; checked arrays for it."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike, NDArray

from i2v_jax.errors import UserError
from i2v_jax.input import pokes

Array = NDArray[np.float32]


def in_chunks(
    function: Callable[..., jax.Array],
    variables: Any,
    *arrays: Array,
    chunk: int,
    progress: str = "",
    mesh: Mesh | None = None,
) -> Array:
    """`function(variables, *arrays)` on at most `chunk` rows at a time, gathered on the host.

    Args:
        function: compiled; of each array it takes as many rows, and as many it returns.
        variables: its first argument.
        arrays: [B, ...] each, B at least 1.
        chunk: rows at a time; the last ones are filled up by repeating.
        progress: the label of a bar, which an empty one hides.
        mesh: of one axis, whose devices share each chunk; `variables` are on all of them then.
    """
    count = len(arrays[0])
    size = min(chunk, 1 << (count - 1).bit_length())  # a power of two below a whole chunk: few programs
    place: Callable[[Array], Any] = jnp.asarray
    if mesh is not None:
        size = -(-size // mesh.size) * mesh.size
        place = functools.partial(jax.device_put, device=NamedSharding(mesh, PartitionSpec(*mesh.axis_names)))
    results = []
    for start in tqdm.tqdm(range(0, count, size), desc=progress, unit="chunk", disable=not progress, leave=False):
        parts = [place(_filled(array[start : start + size], size)) for array in arrays]
        results.append(np.asarray(function(variables, *parts), np.float32))
    return np.concatenate(results)[:count]


def on_every_device(variables: Mapping[str, Any], mesh: Mesh | None) -> dict[str, Any]:
    """The variables for `in_chunks` with this mesh."""
    return jax.device_put(dict(variables), None if mesh is None else NamedSharding(mesh, PartitionSpec()))


def _filled(array: Array, size: int) -> Array:
    """Repeats the last row until there are `size` rows."""
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def checked_frames(frames: ArrayLike, size: int) -> Array:
    """Start frames [B, size, size, 3] as float32. Raises UserError for another shape."""
    array = np.asarray(frames, np.float32)
    if array.ndim != 4 or array.shape[1:] != (size, size, 3) or not len(array):
        raise UserError(f"start frames of shape [B, {size}, {size}, 3] are needed, got {list(array.shape)}")
    return array


def checked_pokes(
    positions: ArrayLike, displacements: ArrayLike, size: int, *, impulse: bool = False
) -> tuple[Array, Array]:
    """Positions [B, 2] and displacements [B, 2] as float32, in pixels of frames of `size` x `size`.

    `impulse`: displacements are directions of a length of at most 1.

    Raises:
        UserError: another shape; what is no poke (`input.pokes.check_poke`).
    """
    places, shifts = np.asarray(positions, np.float32), np.asarray(displacements, np.float32)
    if places.ndim != 2 or places.shape[1] != 2 or places.shape != shifts.shape or not len(places):
        raise UserError(
            f"positions and displacements of shape [B, 2] are needed, got {list(places.shape)} and {list(shifts.shape)}"
        )
    for position, displacement in zip(places, shifts, strict=True):
        pokes.check_poke(tuple(position), tuple(displacement), size, size, impulse=impulse)
    return places, shifts


def frame_for_each(start_frames: ArrayLike, count: int, size: int) -> Array:
    """Start frames [B, size, size, 3], or one for all pokes -> [count, size, size, 3]. Raises UserError for others."""
    x0 = checked_frames(start_frames, size)
    if len(x0) not in (1, count):
        raise UserError(f"{len(x0)} start frames and {count} pokes: give one frame for all, or one for each")
    return np.broadcast_to(x0, (count, *x0.shape[1:]))
