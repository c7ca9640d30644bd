"""Reports what an import did with each key of the authors' files."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from i2v_jax.torch_interop.state_dicts import layout
from i2v_jax.torch_interop.state_dicts.conversion import NETWORKS, Config, to_torch


@dataclasses.dataclass(frozen=True)
class NetworkParity:
    """The keys of one network's file, and our paths of them."""

    name: str  # stage/network
    file: str
    used: Mapping[str, tuple[str, tuple[int, ...]]]  # key -> our path, their shape
    left: Mapping[str, tuple[int, ...]]  # keys without an array in this package: counters, flags, inverses
    changed: tuple[str, ...]  # used keys whose array differs after converting it back

    @property
    def parameters(self) -> int:
        return sum(int(np.prod(shape)) for path, shape in self.used.values() if path.startswith("params"))

    @property
    def summary(self) -> str:
        back = f"{len(self.changed)} differ" if self.changed else "all equal"
        return f"{self.name:34s} {self.file:28s} {len(self.used):9d} {len(self.left):5d} {self.parameters:11d}  {back}"

    def kinds_left(self) -> list[str]:
        """Returns the unused keys. Those that differ only in their numbers are counted together."""
        counts = collections.Counter((re.sub(r"\d+", "*", key), shape) for key, shape in self.left.items())
        return [f"{count} x {key} {list(shape)}" for (key, shape), count in counts.items()]


def compare(
    name: str, file: str, network: str, state: Mapping[str, np.ndarray], variables: layout.Variables, config: Config
) -> NetworkParity:
    """Returns the parity of `variables`, the result of `load_torch` for `state`."""
    state = layout.without_prefix(state)
    paths = {entry.key: entry.path for entry in NETWORKS[network].entries(config)}
    back = to_torch(network, variables, config)
    used = {key: (paths[key], np.shape(value)) for key, value in state.items() if paths[key]}
    left = {key: np.shape(value) for key, value in state.items() if not paths[key]}
    changed = tuple(key for key in used if not np.array_equal(back[key], state[key]))
    return NetworkParity(name, file, used, left, changed)


def summary(networks: Sequence[NetworkParity], missing: Sequence[str]) -> str:
    """Returns a row per network, the unused keys, and the networks that are in no file."""
    head = f"{'network':34s} {'file':28s} {'keys used':>9s} {'left':>5s} {'parameters':>11s}  written back"
    lines = [head, *(network.summary for network in networks)]
    lines += [f"unused in {network.name}: {kind}" for network in networks for kind in network.kinds_left()]
    if missing:
        lines.append(f"in no file, initialized when training starts: {', '.join(missing)}")
    return "\n".join(lines)


def listing(networks: Sequence[NetworkParity]) -> str:
    """Returns each key with its shape and our path."""
    lines = []
    for network in networks:
        lines += ["", f"{network.name} from {network.file}"]
        lines += [f"  {key} {list(shape)} -> {path}" for key, (path, shape) in network.used.items()]
        lines += [f"  {key} {list(shape)} left" for key, shape in network.left.items()]
    return "\n".join(lines)
