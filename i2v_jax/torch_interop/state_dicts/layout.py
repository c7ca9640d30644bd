"""Maps the state-dict keys of the authors' PyTorch code to our arrays, in both directions."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.traverse_util
import numpy as np

from i2v_jax.errors import UserError

Variables = dict[str, Any]  # collection -> nested dict of arrays


@dataclasses.dataclass(frozen=True)
class Transform:
    """A change of layout and its inverse."""

    to_jax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


def _permute(*order: int) -> Transform:
    inverse = tuple(int(i) for i in np.argsort(order))
    return Transform(lambda a: a.transpose(order), lambda a: a.transpose(inverse))


SAME = Transform(lambda a: a, lambda a: a)
LINEAR = _permute(1, 0)  # O,I -> I,O
CONV2D = _permute(2, 3, 1, 0)  # O,I,H,W -> H,W,I,O
CONV2D_TRANSPOSED = _permute(2, 3, 0, 1)  # I,O,H,W -> H,W,I,O
CONV3D = _permute(2, 3, 4, 1, 0)  # O,I,T,H,W -> T,H,W,I,O


def spectral_v(kernel_size: tuple[int, ...]) -> Transform:
    """Returns the change of layout of v: PyTorch's runs over (I, kernel...), ours over (kernel..., I)."""
    return Transform(
        lambda v: np.moveaxis(v.reshape(-1, *kernel_size), 0, -1).reshape(-1),
        lambda v: np.moveaxis(v.reshape(*kernel_size, -1), -1, 0).reshape(-1),
    )


def reshape(torch_shape: tuple[int, ...], jax_shape: tuple[int, ...]) -> Transform:
    """Returns the change from one shape to the other."""
    return Transform(lambda a: a.reshape(jax_shape), lambda a: a.reshape(torch_shape))


@dataclasses.dataclass(frozen=True)
class Entry:
    """One key of a state dict.

    Attributes:
      key: the state-dict key.
      path: the collection and the module path, such as "params/stem/kernel". Empty for a known key without an
        array in this package (a counter, a flag); it may be absent.
      transform: the change of layout.
      columns: the (start, stop) of the last axis that the key fills, if several keys share one of our arrays.
      member: the index on the first axis that the key fills, if the arrays of several keys are stacked.
      derive: computes a key with an empty path from our arrays at `sources`. Without it `to_state` omits the key.
      sources: paths of our arrays.
    """

    key: str
    path: str
    transform: Transform = SAME
    columns: tuple[int, int] | None = None
    member: int | None = None
    derive: Callable[..., np.ndarray] | None = None
    sources: tuple[str, ...] = ()

    def part(self, array: np.ndarray) -> np.ndarray:
        """Returns the view of our array that this key corresponds to."""
        array = array if self.member is None else array[self.member]
        return array if self.columns is None else array[..., slice(*self.columns)]


def to_variables(
    network: str, entries: Iterable[Entry], state: Mapping[str, np.ndarray], expected: Variables
) -> Variables:
    """Returns our variables from a state dict.

    Args:
      network: the name used in messages.
      entries: one for each key.
      state: PyTorch state-dict key -> array. A DataParallel prefix "module." on every key is removed.
      expected: the result of `module.init` (arrays or shapes); each of its leaves must be filled.
    Raises:
      UserError: keys are unknown, missing or have wrong shapes. Its value maps these words to the keys.
    """
    state = without_prefix(state)
    table = {entry.key: entry for entry in entries}
    ours = {
        path: np.zeros(leaf.shape, leaf.dtype)
        for path, leaf in flax.traverse_util.flatten_dict(expected, sep="/").items()
    }
    _check_table(network, table, ours)

    wrong = []
    for key, value in state.items():
        entry = table.get(key)
        if entry is None or not entry.path:
            continue
        target = entry.part(ours[entry.path])
        needed = entry.transform.to_torch(target).shape
        if np.shape(value) != needed:
            wrong.append(f"{key} {np.shape(value)}, needed {needed}")
            continue
        target[...] = entry.transform.to_jax(np.asarray(value))
    problems = {
        "unknown": sorted(set(state) - set(table)),
        "missing": sorted(key for key, entry in table.items() if entry.path and key not in state),
        "wrongly shaped": wrong,
    }
    if any(problems.values()):
        lists = "; ".join(f"{name} keys: {', '.join(keys)}" for name, keys in problems.items() if keys)
        raise UserError(
            f"this state dict does not belong to {network} with the given config: {lists}", "state_dict", problems
        )
    return flax.traverse_util.unflatten_dict(ours, sep="/")


def without_prefix(state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Returns the state dict without the prefix "module." that DataParallel adds to each key."""
    if not all(key.startswith("module.") for key in state):
        return state
    return {key.removeprefix("module."): value for key, value in state.items()}


def to_state(entries: Iterable[Entry], variables: Variables) -> dict[str, np.ndarray]:
    """Returns a state dict: the inverse of `to_variables`. Collections that `variables` lacks are omitted."""
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    state = {}
    for entry in entries:
        if entry.derive is not None and all(source in flat for source in entry.sources):
            state[entry.key] = entry.derive(*(np.asarray(flat[source]) for source in entry.sources))
        elif entry.path in flat:
            part = entry.part(np.asarray(flat[entry.path]))
            state[entry.key] = np.ascontiguousarray(entry.transform.to_torch(part))
    return state


def _check_table(network: str, table: Mapping[str, Entry], ours: Mapping[str, np.ndarray]) -> None:
    """Raises AssertionError if the entries do not fit the module, which is a mistake in this package."""
    filled = dict.fromkeys(ours, 0)
    for entry in table.values():
        if entry.path and entry.path not in ours:
            raise AssertionError(f"{network}: {entry.key} is for {entry.path}, which the module does not have")
        if entry.path:
            filled[entry.path] += entry.part(ours[entry.path]).size
    partial = [path for path, size in filled.items() if size != ours[path].size]
    if partial:
        raise AssertionError(f"{network}: the keys do not fill {', '.join(partial)} exactly once")


def constant(key: str, value: np.ndarray) -> Entry:
    """Returns the entry of a key that is the same in every state dict."""
    return Entry(key, "", derive=lambda: value)


def batches_tracked(norm: str) -> Entry:
    """Returns the entry of a batch norm's counter, which is not read when the momentum is fixed."""
    return constant(f"{norm}.num_batches_tracked", np.zeros((), np.int64))
