"""Compiles the programs of a stage for devices that are not there, and reads what they need."""

import dataclasses
import importlib.metadata
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from i2v_jax.distributed.mesh import check_batch_size, make_mesh
from i2v_jax.hlo import arithmetic, text, traffic
from i2v_jax.hlo.collectives import Collective, collectives
from i2v_jax.models import convolution
from i2v_jax.planning import communication
from i2v_jax.planning.plan import Exchange, Memory, Plan, StepPlan
from i2v_jax.planning.stage import abstract_stage
from i2v_jax.planning.topology import Topology
from i2v_jax.pretrained import weights
from i2v_jax.training.programs import Programs, distinct_steps
from i2v_jax.training.state import TrainState

# Without a card, nothing is autotuned, and the compiler's own choice of tiles fails on products with few rows.
_OPTIONS: dict[str, dict[str, Any]] = {"tpu": {}, "cuda": {"xla_gpu_enable_triton_gemm": False}}


@dataclasses.dataclass(frozen=True)
class Request:
    """What to plan.

    Attributes:
      spec: the configuration, as the user wrote it.
      config: the whole configuration, with the mesh and the stage's batch size.
      stage: its name.
    """

    spec: str
    config: ConfigDict
    stage: str
    topology: Topology

    @property
    def batch(self) -> int:
        """Clips over all devices."""
        return self.config[self.stage].batch_size


def compiler(topology: Topology) -> str:
    """Returns the versions of what compiles for a topology."""
    package = {"tpu": "libtpu", "cuda": "jax-cuda12-plugin"}[topology.card.platform]
    return f"jax {jax.__version__}, {package} {importlib.metadata.version(package)}"


@dataclasses.dataclass(frozen=True)
class StepProgram:
    """A compiled step.

    Attributes:
      updates: the names of those that it performs.
      arguments: shapes and shardings of state, frozen networks and batch.
      compiled: None if the compiler refuses it because it needs too much memory.
      refusal: what the compiler says then.
      seconds: how long tracing and compiling took.
    """

    updates: tuple[str, ...]
    arguments: tuple[TrainState, Any, Any]
    compiled: jax.stages.Compiled | None
    refusal: str
    seconds: float


def compile_steps(request: Request, known: Collection[tuple[str, ...]] = ()) -> Iterator[StepProgram]:
    """Yields the programs of a stage, up to the first that is refused. Each takes minutes.

    Args:
      request: what to plan.
      known: the updates of the programs to leave out.
    Raises:
      UserError: the mesh or the batch does not fit the devices, or a field has an invalid value.
    """
    config, name, topology = request.config, request.stage, request.topology
    mesh = make_mesh(config.mesh, topology.devices)
    check_batch_size(name, request.batch, mesh, config[name].accumulate)
    with weights.only_shapes(), convolution.formulation("xla"):
        stage = abstract_stage(config, name)
        programs = Programs(name, stage.task, config, mesh, stage.batch, stage.steps_per_epoch)
        arguments = _placed(programs, stage.task.frozen, stage.batch)
        for updates in distinct_steps(stage.task.updates, stage.steps):
            names = tuple(update.name for update in updates)
            if names in known:
                continue
            begun, compiled, refusal = time.monotonic(), None, ""
            try:
                lowered = programs.lower_step(updates, *arguments, platform=topology.card.platform)
                compiled = lowered.compile(compiler_options=_OPTIONS[topology.card.platform])
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                refusal = _reason(str(error))
            yield StepProgram(names, arguments, compiled, refusal, time.monotonic() - begun)
            if refusal:
                return


def compile_plan(request: Request, begun: Plan | None = None) -> Iterator[Plan]:
    """Yields the plan of a stage after each of its programs. The last one is complete.

    Args:
      request: what to plan.
      begun: what an earlier call yielded; its programs are not compiled again.
    Raises:
      UserError: as `compile_steps`.
    """
    plan = begun or _empty_plan(request)
    for program in compile_steps(request, [step.updates for step in plan.steps]):
        added = [_step_plan(program, program.compiled, request.topology)] if program.compiled else []
        plan = dataclasses.replace(plan, steps=(*plan.steps, *added), refusal=program.refusal)
        yield plan
    yield dataclasses.replace(plan, complete=True)


def _empty_plan(request: Request) -> Plan:
    mesh = make_mesh(request.config.mesh, request.topology.devices)
    return Plan(
        config=request.spec,
        stage=request.stage,
        topology=request.topology.name,
        mesh={axis: int(size) for axis, size in mesh.shape.items()},
        batch=request.batch,
        dtype=request.config.dtype,
        compiler=compiler(request.topology),
    )


def _placed(programs: Programs, frozen: Any, batch: Any) -> tuple[TrainState, Any, Any]:
    def place(tree: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    return programs.state, place(frozen, programs.replicated), place(dict(batch), programs.over_devices)


def _reason(message: str) -> str:
    """Returns the first sentence of what the compiler says about memory."""
    line = next((line for line in message.splitlines() if "emory" in line), message.splitlines()[0])
    return line.strip()


def _step_plan(step: StepProgram, compiled: jax.stages.Compiled, topology: Topology) -> StepPlan:
    program = text.parse(compiled.as_text() or "")
    return StepPlan(
        updates=step.updates,
        memory=_memory(compiled, step.arguments),
        flops=arithmetic.flops(program),
        bytes=traffic.moved_bytes(program),
        state_bytes=traffic.bytes_of_shapes(program, _shapes(step.arguments[0])),
        exchanges=_exchanges(collectives(program), topology),
        largest=_largest(program),
        compile_seconds=step.seconds,
    )


def _memory(compiled: jax.stages.Compiled, arguments: tuple[TrainState, Any, Any]) -> Memory:
    state, frozen, batch = arguments
    stats: Any = compiled.memory_analysis()
    return Memory(
        parameters=_bytes(state.params),
        moments=_bytes(state.opt_state),
        averages=_bytes(state.ema),
        other_state=_bytes(state.model_state),
        frozen=_bytes(frozen),
        batch=_bytes(batch),
        arguments=stats.argument_size_in_bytes,
        temporaries=stats.temp_size_in_bytes,
        results=stats.output_size_in_bytes - stats.alias_size_in_bytes,
        code=stats.generated_code_size_in_bytes,
    )


def _shapes(tree: Any) -> set[tuple[int, ...]]:
    """Returns the shapes of one device's parts of arrays."""
    return {leaf.sharding.shard_shape(leaf.shape) for leaf in jax.tree.leaves(tree)}


def _bytes(tree: Any) -> float:
    """Returns the bytes of one device's parts of arrays."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        part = jax.ShapeDtypeStruct(leaf.sharding.shard_shape(leaf.shape), leaf.dtype)
        total += part.size * part.dtype.itemsize
    return total


def _exchanges(found: Sequence[Collective], topology: Topology) -> tuple[Exchange, ...]:
    kinds: dict[tuple[str, int], list[Collective]] = {}
    for collective in found:
        ways = len(collective.groups[0]) if collective.groups else len(topology.devices)
        kinds.setdefault((collective.kind, ways), []).append(collective)

    def exchange(kind: str, ways: int, same: Sequence[Collective]) -> Exchange:
        count = sum(each.times for each in same)
        moved = sum(each.times * each.bytes for each in same)
        seconds = sum(each.times * communication.seconds(each, topology.card, topology.shape) for each in same)
        return Exchange(kind, ways, count, moved, seconds)

    return tuple(exchange(*key, same) for key, same in sorted(kinds.items()))


def _largest(program: text.Program, count: int = 10) -> tuple[tuple[str, float], ...]:
    moved: dict[str, float] = {}
    for executed in program.executed:
        source = executed.instruction.source or executed.instruction.opcode
        moved[source] = moved.get(source, 0.0) + executed.times * traffic.bytes_of(executed, program)
    return tuple(sorted(moved.items(), key=lambda item: -item[1])[:count])
