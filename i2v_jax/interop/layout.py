"""How one state-dict key of the authors' PyTorch code corresponds to one array of ours, in both directions."""

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
CONV3D = _permute(2, 3, 4, 1, 0)  # O,I,T,H,W -> T,H,W,I,O


def spectral_v(channels_in: int, kernel_size: tuple[int, ...]) -> Transform:
    """PyTorch's v runs over (I, kernel...), ours over (kernel..., I)."""

    def to_jax(v: np.ndarray) -> np.ndarray:
        return np.moveaxis(v.reshape(channels_in, *kernel_size), 0, -1).reshape(-1)

    def to_torch(v: np.ndarray) -> np.ndarray:
        return np.moveaxis(v.reshape(*kernel_size, channels_in), -1, 0).reshape(-1)

    return Transform(to_jax, to_torch)


def reshape(torch_shape: tuple[int, ...], jax_shape: tuple[int, ...]) -> Transform:
    return Transform(lambda a: a.reshape(jax_shape), lambda a: a.reshape(torch_shape))


@dataclasses.dataclass(frozen=True)
class Entry:
    """`path` is the collection and then the module path, e.g. "params/stem/kernel". An empty path is a key that is known
    and carries nothing (a counter, the inverse of a stored permutation)."""

    key: str
    path: str
    transform: Transform = SAME


def to_variables(network: str, entries: Iterable[Entry], state: Mapping[str, np.ndarray], expected: Variables) -> Variables:
    """Our variables from a state dict.

    Args:
      network: the name used in messages.
      entries: the correspondence of every key.
      state: PyTorch state-dict key -> array. A DataParallel prefix "module." on every key is removed.
      expected: what `module.init` makes (arrays or shapes); every one of its leaves must be filled.
    Raises:
      UserError: one message that lists all unknown, missing and wrongly shaped keys.
    """
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    table = {entry.key: entry for entry in entries}
    shapes = {"/".join(k.key for k in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(expected)}
    unknown = sorted(set(state) - set(table))
    missing = sorted(key for key, entry in table.items() if entry.path and key not in state)
    wrong, flat = [], {}
    for key, value in state.items():
        entry = table.get(key)
        if entry is None or not entry.path:
            continue
        try:
            array = np.asarray(entry.transform.to_jax(np.asarray(value)))
        except ValueError:
            wrong.append(f"{key} {tuple(np.shape(value))}")
            continue
        if entry.path not in shapes:
            raise AssertionError(f"{network}: the table maps {key} to {entry.path}, which the module does not have")
        if array.shape != shapes[entry.path]:
            wrong.append(f"{key} {tuple(np.shape(value))}, needed {entry.transform.to_torch(np.empty(shapes[entry.path])).shape}")
        flat[entry.path] = array
    problems = [f"{name} keys: {', '.join(keys)}" for name, keys in
                (("unknown", unknown), ("missing", missing), ("wrongly shaped", wrong)) if keys]
    if problems:
        raise UserError(f"this state dict is not that of {network} with the given config; {'; '.join(problems)}")
    unfilled = sorted(set(shapes) - set(flat))
    if unfilled:
        raise AssertionError(f"{network}: no key fills {unfilled}")
    return _nest(flat)


def to_state(entries: Iterable[Entry], variables: Variables) -> dict[str, np.ndarray]:
    """The inverse of `to_variables`, without the keys that carry nothing."""
    flat = {"/".join(k.key for k in path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}
    return {entry.key: np.ascontiguousarray(entry.transform.to_torch(flat[entry.path])) for entry in entries if entry.path}


def _nest(flat: Mapping[str, np.ndarray]) -> Variables:
    nested: Variables = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return nested
