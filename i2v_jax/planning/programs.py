"""The programs of a stage for devices that are not there, without data and weights: shapes, and what is lowered."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from i2v_jax.distributed.mesh import check_batch_size, make_mesh
from i2v_jax.models import convolution
from i2v_jax.planning.stage import abstract_stage
from i2v_jax.planning.topology import Topology
from i2v_jax.pretrained import weights
from i2v_jax.tasks.base import Update
from i2v_jax.training.programs import Programs, distinct_steps
from i2v_jax.training.state import TrainState

Arguments = tuple[TrainState, Any, Any]


@dataclasses.dataclass(frozen=True)
class Request:
    """What to plan.

    Attributes:
      spec: the configuration, as the user wrote it.
      config: the whole configuration, with the mesh and the stage's batch size.
      stage: its name.
      code: whether the compiler generates code too, so that the plan has the time that this takes.
    """

    spec: str
    config: ConfigDict
    stage: str
    topology: Topology
    code: bool = False

    @property
    def batch(self) -> int:
        """Clips over all devices."""
        return self.config[self.stage].batch_size


@dataclasses.dataclass(frozen=True)
class AbstractPrograms:
    """The programs of a stage.

    Attributes:
      steps: the updates of each program.
      arguments: shapes and shardings of state, frozen networks and batch.
    """

    steps: Sequence[tuple[Update, ...]]
    arguments: Arguments
    programs: Programs
    platform: str

    def lower(self, updates: tuple[Update, ...]) -> jax.stages.Lowered:
        return self.programs.lower_step(updates, *self.arguments, platform=self.platform)


@contextlib.contextmanager
def abstract_programs(request: Request) -> Iterator[AbstractPrograms]:
    """Yields the programs of a request, which can be lowered within this context.

    Raises:
      UserError: the mesh or the batch does not fit the devices, or a field has an invalid value.
    """
    config, name, topology = request.config, request.stage, request.topology
    mesh = make_mesh(config.mesh, topology.devices)
    check_batch_size(name, request.batch, mesh, config[name].accumulate)
    with weights.only_shapes(), convolution.formulation("xla"):
        stage = abstract_stage(config, name)
        programs = Programs(name, stage.task, config, mesh, stage.batch, stage.steps_per_epoch)
        steps = distinct_steps(stage.task.updates, stage.steps)
        arguments = _placed(programs, stage.task.frozen, stage.batch)
        yield AbstractPrograms(steps, arguments, programs, topology.card.platform)


def names(updates: Sequence[Update]) -> tuple[str, ...]:
    return tuple(update.name for update in updates)


def _placed(programs: Programs, frozen: Any, batch: Any) -> Arguments:
    def place(tree: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    return programs.state, place(frozen, programs.replicated), place(dict(batch), programs.over_devices)
