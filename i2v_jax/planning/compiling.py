"""Compiles the programs of a stage for devices that are not there, and reads what they need."""

import dataclasses
import importlib.metadata
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import jax

from i2v_jax.distributed.mesh import make_mesh
from i2v_jax.hlo import arithmetic, text, traffic
from i2v_jax.hlo.collectives import Collective, collectives
from i2v_jax.planning import communication
from i2v_jax.planning.plan import Exchange, Memory, Plan, StepPlan
from i2v_jax.planning.programs import Arguments, Request, abstract_programs, names
from i2v_jax.planning.scheduling import Compiled, compile_program
from i2v_jax.planning.topology import Topology


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
    """

    updates: tuple[str, ...]
    arguments: Arguments
    compiled: Compiled


def compile_steps(request: Request, known: Collection[tuple[str, ...]] = ()) -> Iterator[StepProgram]:
    """Yields the programs of a stage, up to the first that is refused.

    Args:
      request: what to plan.
      known: the updates of the programs to leave out.
    Raises:
      UserError: the mesh or the batch does not fit the devices, or a field has an invalid value.
    """
    with abstract_programs(request) as programs:
        for updates in map(names, programs.steps):
            if updates in known:
                continue
            step = StepProgram(updates, programs.arguments, compile_program(request, updates))
            yield step
            if step.compiled.refusal:
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
        refusal = program.compiled.refusal
        added = [] if refusal else [_step_plan(program, request.topology)]
        plan = dataclasses.replace(plan, steps=(*plan.steps, *added), refusal=refusal)
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


def _step_plan(step: StepProgram, topology: Topology) -> StepPlan:
    program = text.parse(step.compiled.text)
    return StepPlan(
        updates=step.updates,
        memory=_memory(step.compiled, step.arguments),
        flops=arithmetic.flops(program),
        bytes=traffic.moved_bytes(program),
        state_bytes=traffic.bytes_of_shapes(program, _shapes(step.arguments[0])),
        exchanges=_exchanges(collectives(program), topology),
        largest=_largest(program),
        compile_seconds=step.compiled.seconds,
    )


def _memory(compiled: Compiled, arguments: Arguments) -> Memory:
    state, frozen, batch = arguments
    return Memory(
        parameters=_bytes(state.params),
        moments=_bytes(state.opt_state),
        averages=_bytes(state.ema),
        other_state=_bytes(state.model_state),
        frozen=_bytes(frozen),
        batch=_bytes(batch),
        arguments=compiled.arguments,
        temporaries=compiled.temporaries,
        results=compiled.results,
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
        seconds = sum(each.times * communication.seconds(each, topology.card, topology.hosts.shape) for each in same)
        return Exchange(kind, ways, count, moved, seconds)

    return tuple(exchange(*key, same) for key, same in sorted(kinds.items()))


def _largest(program: text.Program, count: int = 10) -> tuple[tuple[str, float], ...]:
    moved: dict[str, float] = {}
    for executed in program.executed:
        source = executed.instruction.source or executed.instruction.opcode
        moved[source] = moved.get(source, 0.0) + executed.times * traffic.bytes_of(executed, program)
    return tuple(sorted(moved.items(), key=lambda item: -item[1])[:count])
