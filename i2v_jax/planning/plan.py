"""The plan of a stage on some devices: what its programs need of each device, and how fast they can be."""

import dataclasses
import math
from collections.abc import Mapping

from i2v_jax.distributed.hosts import Hosts, parse_hosts
from i2v_jax.planning.cards import CARDS, Card


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of each device. Parts are without the padding of a TPU's tiles; `arguments` are with it."""

    parameters: float
    moments: float
    averages: float
    other_state: float  # statistics of norms, singular vectors, buffers
    frozen: float  # networks of earlier stages and pretrained ones
    batch: float
    arguments: float  # those of the above that the program uses, as the compiler stores them
    temporaries: float
    results: float  # that do not replace an argument

    @property
    def held(self) -> float:
        """What is there between two steps, too: a stage keeps networks on its devices that only its samples use."""
        parts = (self.parameters, self.moments, self.averages, self.other_state, self.frozen, self.batch)
        return max(self.arguments, sum(parts))

    @property
    def total(self) -> float:
        return self.held + self.temporaries + self.results


@dataclasses.dataclass(frozen=True)
class Exchange:
    """All collectives of a kind over as many devices."""

    kind: str
    ways: int
    count: int
    bytes: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """One program: a step of some updates. Numbers are for each device and step."""

    updates: tuple[str, ...]
    memory: Memory
    flops: float
    bytes: float
    state_bytes: float  # of them, those of instructions on arrays of the state alone: they do not grow with the batch
    exchanges: tuple[Exchange, ...]
    largest: tuple[tuple[str, float], ...]  # the operations that move most, with their bytes
    compile_seconds: float | None  # None without code


@dataclasses.dataclass(frozen=True)
class Plan:
    """The programs of a stage on a topology.

    Attributes:
      config: as the user wrote it.
      mesh: the size of each axis.
      batch: clips over all devices.
      dtype: of the computation.
      compiler: the versions that compiled it.
      steps: the programs up to the first that the compiler refuses because it needs too much memory.
      refusal: what the compiler said; empty if it took all.
      complete: whether all programs were compiled.
    """

    config: str
    stage: str
    topology: str
    mesh: Mapping[str, int]
    batch: int
    dtype: str
    compiler: str
    steps: tuple[StepPlan, ...] = ()
    refusal: str = ""
    complete: bool = False

    @property
    def hosts(self) -> Hosts:
        return parse_hosts(self.topology)

    @property
    def card(self) -> Card:
        return CARDS[self.hosts.kind]

    @property
    def devices(self) -> int:
        return self.hosts.devices

    @property
    def memory(self) -> float:
        """Bytes of each device that the largest program needs."""
        return max((step.memory.total for step in self.steps), default=0.0)

    @property
    def fits(self) -> bool:
        return not self.refusal and self.memory <= self.card.memory

    @property
    def estimated_largest_batch(self) -> int:
        """The largest batch that fits, if temporaries grow with the batch and everything else stays.

        They need not: a compiler may lay out small batches differently. `Planner.largest` compiles larger ones.
        """
        room = []
        for step in self.steps:
            growing = step.memory.temporaries + step.memory.batch
            room.append((self.card.memory - step.memory.total + growing) / growing)
        return max(int(self.batch / self.devices * min(room, default=0.0)), 0) * self.devices

    def seconds(self, step: StepPlan) -> "Seconds":
        return Seconds(
            step.flops / self.card.flops(self.dtype),
            step.bytes / self.card.bandwidth,
            sum(exchange.seconds for exchange in step.exchanges),
        )

    def traffic_ratio(self, step: StepPlan, batch: int) -> float:
        """Returns traffic / arithmetic in time, with a batch to which everything grows but the traffic of the state."""
        if not step.flops:  # of vectors, which a compiler does not multiply as matrices
            return math.inf
        growth = batch / self.batch
        moved = step.state_bytes + growth * (step.bytes - step.state_bytes)
        return moved / self.card.bandwidth / (growth * step.flops / self.card.flops(self.dtype))

    def clips_per_second(self, step: StepPlan) -> float:
        return self.batch / self.seconds(step).step


@dataclasses.dataclass(frozen=True)
class Seconds:
    """How long a step takes at least, by data sheets."""

    arithmetic: float
    memory: float
    communication: float

    @property
    def step(self) -> float:
        """Arithmetic overlaps with traffic, communication with neither."""
        return max(self.arithmetic, self.memory) + self.communication

    @property
    def share_of_peak(self) -> float:
        return self.arithmetic / self.step
