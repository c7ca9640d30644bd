"""What a training stage is to the loop: networks, a shared forward pass, and ordered updates."""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Update:
    """One optimizer step of some networks on one loss. Updates run in order, each seeing what the ones before changed.

    Attributes:
      name: unique in the task.
      networks: whose parameters it changes.
      loss: see `Loss`. Where `networks` are also the task's `forward_networks`, its gradient reaches them through the
        outputs of the forward pass too.
      first_step, last_step: it runs while first_step <= step < last_step.
      every: and only where the step is a multiple of it.
      monitor: the metric that a plateau schedule watches, of this update or of one before it.
      optimizer: a name for its optimizer. Updates with the same name share a network's moments and step count; those
        of another keep their own.
    """

    name: str
    networks: tuple[str, ...]
    loss: Loss
    first_step: int = 0
    last_step: float = math.inf
    every: int = 1
    monitor: str = ""
    optimizer: str = ""

    def opt_state_key(self, network: str) -> str:
        """Under which key the training state holds the optimizer's state for a network."""
        return f"{network}_{self.optimizer}" if self.optimizer else network

    def runs_at(self, step: int) -> bool:
        return self.first_step <= step < self.last_step and step % self.every == 0


class Task(Protocol):
    """A stage. Every method is traced: arrays in, arrays out. `networks` holds trained and frozen variables."""

    modules: dict[str, Any]  # Flax modules of the networks that it trains
    frozen: Networks  # constants: pretrained or trained in earlier stages
    forward_networks: tuple[str, ...]  # whose parameters the forward pass uses
    ema_networks: tuple[str, ...]  # whose averaged parameters are kept and used for sampling
    updates: tuple[Update, ...]
    best: str  # the evaluation metric whose minimum marks the best checkpoint
    preview_rows: tuple[str, ...]  # labels of what `preview` returns, from truth downwards

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        """Variables of the trained networks. Of the batch only the shapes count."""

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        """The trained networks' variables after initialization on the first batch."""

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[Any, Networks]:
        """What all updates share: (float arrays, collections that changed)."""

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        """Metrics of held-out clips, each [B]; or [B, K, K], a matrix that is summed over the clips and drawn."""

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        """Clips [B, T, H, W, 3] in [-1, 1] for each of `preview_rows`."""


def replace_params(networks: Networks, params: Mapping[str, Any]) -> Networks:
    """`networks` with the parameters of some of them replaced."""
    return {**networks, **{name: {**networks[name], "params": tree} for name, tree in params.items()}}


def merge_collections(networks: Networks, changed: Networks) -> Networks:
    """`networks` with some collections of some of them replaced."""
    return {**networks, **{name: {**networks[name], **collections} for name, collections in changed.items()}}
