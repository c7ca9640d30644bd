"""The interface between a stage of training and the loop: networks, a shared forward pass, and ordered updates."""

import dataclasses
import enum
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax

Batch = Mapping[str, jax.Array]
Variables = dict[str, Any]  # of one network: {"params": ..., "spectral": ..., ...}
Networks = dict[str, Variables]  # network name -> its variables; frozen networks included
Metrics = dict[str, jax.Array]

# (variables of all networks, outputs of the forward pass, batch, rng of this step)
# -> (loss, (collections that changed, by network name; metrics))
Loss = Callable[[Networks, Any, Batch, jax.Array], tuple[jax.Array, tuple[Networks, Metrics]]]


class Stream(enum.IntEnum):
    """The random streams of one training step: `jax.random.fold_in(rng, stream)`."""

    FORWARD = 0  # of the forward pass: posterior samples, dropout
    DISCRIMINATORS = 1  # the part of the batch that discriminators see
    PARTS = 2  # of the parts of a batch whose gradients are accumulated; each has a key of its own


@dataclasses.dataclass(frozen=True)
class Update:
    """One optimizer step of some networks on one loss. Updates run in order; each sees the changes of those before it.

    Attributes:
      name: unique in the task.
      networks: the networks whose parameters it changes.
      loss: see `Loss`. For networks that are also among the task's `forward_networks`, the gradient includes the path
        through the outputs of the forward pass.
      first_step, last_step: it runs while first_step <= step < last_step.
      every: it runs only at steps that are multiples of this.
      monitor: the metric that a plateau schedule watches, of this update or of one before it.
      optimizer: a name for its optimizer. Updates with the same name share a network's moments and step count.
      constant_rate: those of `networks` whose learning rate stays as it is at the start.
    """

    name: str
    networks: tuple[str, ...]
    loss: Loss
    first_step: int = 0
    last_step: float = math.inf
    every: int = 1
    monitor: str = ""
    optimizer: str = ""
    constant_rate: tuple[str, ...] = ()

    def opt_state_key(self, network: str) -> str:
        """Returns the key of the optimizer's state for a network in `TrainState.opt_state`."""
        return f"{network}_{self.optimizer}" if self.optimizer else network

    def runs_at(self, step: int) -> bool:
        """Returns whether the update is part of a step."""
        return self.first_step <= step < self.last_step and step % self.every == 0


class Task(Protocol):
    """What a stage learns. Methods are traced: arrays in, arrays out. `networks` has trained and frozen variables."""

    modules: dict[str, Any]  # Flax modules of the trained networks, by name
    frozen: Networks  # constant: pretrained, or trained in earlier stages
    forward_networks: tuple[str, ...]  # networks whose parameters the forward pass uses
    ema_networks: tuple[str, ...]  # networks with averaged parameters, which sampling uses
    updates: tuple[Update, ...]
    best: str  # the metric of `evaluate` that is lowest at the best checkpoint
    preview_rows: tuple[str, ...]  # labels of the clips that `preview` returns, the truth first

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        """Returns the variables of the trained networks. Only the shapes of the batch matter."""

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        """Returns the trained networks' variables after data-dependent initialization on the first batch."""

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[Any, Networks]:
        """Returns what all updates share: (float arrays, collections that changed)."""

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        """Returns metrics of held-out clips: [B], averaged over the clips, or matrices [B, K, K], which are summed."""

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        """Returns clips [B, T, H, W, 3] in [-1, 1] for each of `preview_rows`."""


def replace_params(networks: Networks, params: Mapping[str, Any]) -> Networks:
    """Returns `networks` with the parameters of some of them replaced."""
    return {**networks, **{name: {**networks[name], "params": tree} for name, tree in params.items()}}


def merge_collections(networks: Networks, changed: Networks) -> Networks:
    """Returns `networks` with some collections of some of them replaced."""
    return {**networks, **{name: {**networks[name], **collections} for name, collections in changed.items()}}
