"""How the state-dict keys of the authors' PyTorch code correspond to arrays of ours, in both directions."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
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
    """PyTorch's v runs over (I, kernel...), ours over (kernel..., I)."""
    return Transform(
        lambda v: np.moveaxis(v.reshape(-1, *kernel_size), 0, -1).reshape(-1),
        lambda v: np.moveaxis(v.reshape(*kernel_size, -1), -1, 0).reshape(-1),
    )


def reshape(torch_shape: tuple[int, ...], jax_shape: tuple[int, ...]) -> Transform:
    return Transform(lambda a: a.reshape(jax_shape), lambda a: a.reshape(torch_shape))


@dataclasses.dataclass(frozen=True)
class Entry:
    """One key of a state dict.

    Attributes:
      key: the state-dict key.
      path: the collection and then the module path, e.g. "params/stem/kernel". Empty: a key that is known and
        carries nothing of ours (a counter, a flag), not missed when absent.
      transform: the change of layout.
      columns: the (start, stop) of the last axis that the key fills, where several keys share one array of ours.
      member: the place on the first axis that the key fills, where arrays of several keys are stacked.
      derive: what makes a key with an empty path, from our arrays at `sources`; without it `to_state` leaves the key
        out.
      sources: paths.
    """

    key: str
    path: str
    transform: Transform = SAME
    columns: tuple[int, int] | None = None
    member: int | None = None
    derive: Callable[..., np.ndarray] | None = None
    sources: tuple[str, ...] = ()

    def part(self, array: np.ndarray) -> np.ndarray:
        """The view of our array that this key corresponds to."""
        array = array if self.member is None else array[self.member]
        return array if self.columns is None else array[..., slice(*self.columns)]


def to_variables(
    network: str, entries: Iterable[Entry], state: Mapping[str, np.ndarray], expected: Variables
) -> Variables:
    """Our variables from a state dict.

    Args:
      network: the name used in messages.
      entries: the correspondence of every key.
      state: PyTorch state-dict key -> array. A DataParallel prefix "module." on every key is removed.
      expected: what `module.init` makes (arrays or shapes); every one of its leaves must be filled.
    Raises:
      UserError: one message that lists the unknown, missing and wrongly shaped keys.
    """
    state = without_prefix(state)
    table = {entry.key: entry for entry in entries}
    ours = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in _flatten(expected).items()}
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
        raise UserError(f"this state dict is not that of {network} with the given config; {lists}")
    return _nest(ours)


def without_prefix(state: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The keys without the "module." that DataParallel puts before each of them."""
    if not all(key.startswith("module.") for key in state):
        return state
    return {key.removeprefix("module."): value for key, value in state.items()}


def to_state(entries: Iterable[Entry], variables: Variables) -> dict[str, np.ndarray]:
    """The inverse of `to_variables`. Collections that `variables` lacks are left out: gradients are params only."""
    flat = _flatten(variables)
    state = {}
    for entry in entries:
        if entry.derive is not None and all(source in flat for source in entry.sources):
            state[entry.key] = entry.derive(*(np.asarray(flat[source]) for source in entry.sources))
        elif entry.path in flat:
            part = entry.part(np.asarray(flat[entry.path]))
            state[entry.key] = np.ascontiguousarray(entry.transform.to_torch(part))
    return state


def _check_table(network: str, table: Mapping[str, Entry], ours: Mapping[str, np.ndarray]) -> None:
    """A table that does not fit its module is our mistake, not the user's."""
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
    """A key that is the same in every state dict."""
    return Entry(key, "", derive=lambda: value)


def batches_tracked(norm: str) -> Entry:
    """The counter of a batch norm, which nothing reads where running averages have a fixed momentum."""
    return constant(f"{norm}.num_batches_tracked", np.zeros((), np.int64))


def _flatten(variables: Variables) -> dict[str, Any]:
    return {"/".join(key.key for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}


def _nest(flat: Mapping[str, np.ndarray]) -> Variables:
    nested: Variables = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return nested
