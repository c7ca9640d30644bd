"""Which plans to make: those that a command asks for, or a search over meshes and batches."""

import pathlib
from collections.abc import Iterator, Sequence

from ml_collections import ConfigDict

from i2v_jax import config_files
from i2v_jax.errors import UserError
from i2v_jax.logs import logger
from i2v_jax.planning import records
from i2v_jax.planning.compiling import compile_plan
from i2v_jax.planning.plan import Plan
from i2v_jax.planning.programs import Request
from i2v_jax.planning.topology import Topology

_DOUBLINGS = 6  # of the first batch that a search tries
_PRECISION = 8  # the largest batch is found to an eighth of it


class Planner:
    """Makes plans of one configuration and keeps them in a folder. What is there is not compiled again."""

    def __init__(self, spec: str, overrides: Sequence[str], folder: pathlib.Path, code: bool = False) -> None:
        """`spec` and `overrides` are those of `config_files.load`; `code` is that of `Request`."""
        self._spec, self._overrides, self._folder, self._code = spec, overrides, folder, code

    def config(self, mesh: str = "", *overrides: str) -> ConfigDict:
        """Returns the configuration with a mesh like "data=4,fsdp=2", by default its own. Raises UserError."""
        fields = [f"mesh.{item}" for item in mesh.split(",") if item]
        return config_files.load(self._spec, [*self._overrides, *fields, *overrides])

    def plan(self, stage: str, topology: Topology, batch: int = 0, mesh: str = "") -> Plan:
        """Returns the plan of a stage with batches of `batch` clips, 0: of `first_batch`. Raises UserError."""
        batch = batch or first_batch(self.config(mesh), stage, topology)
        spec = " ".join([self._spec, *(item for item in self._overrides if not item.startswith("dtype="))])
        request = Request(spec, self.config(mesh, f"{stage}.batch_size={batch}"), stage, topology, self._code)
        file = records.path(self._folder, request)
        kept = records.read(file) if file.is_file() else None
        if kept and kept.complete:
            return kept
        logger.info(f"compiling {stage} of {spec} for {topology.name}, {mesh or 'its mesh'}, {batch} clips")
        for plan in compile_plan(request, kept):
            records.write(file, plan)
        return plan

    def sweep(self, stage: str, topology: Topology, batches: Sequence[int], meshes: Sequence[str]) -> Iterator[Plan]:
        """Yields the plans of some meshes, each with growing batches until one does not fit.

        Args:
          stage: its name.
          topology: the devices.
          batches: to try; empty: the configuration's, doubled again and again.
          meshes: to try, as `config` takes them; empty: parameters whole, and shared by the devices of a host.
        """
        for mesh in meshes or default_meshes(topology):
            first = first_batch(self.config(mesh), stage, topology)
            for batch in sorted(batches) or [first * 2**doubling for doubling in range(_DOUBLINGS)]:
                plan = self.plan(stage, topology, batch, mesh)
                yield plan
                if not plan.fits:
                    break

    def largest(self, stage: str, topology: Topology, mesh: str = "") -> Iterator[Plan]:
        """Yields plans whose batches close in on the largest that fits, which is the largest of those that do.

        A batch that is larger by an eighth, or by one clip of each device, does not fit.
        """
        config = self.config(mesh)
        each = len(topology.devices) * config[stage].accumulate
        tried, fitting, too_large = first_batch(config, stage, topology) // each, 0, 0
        while not too_large or too_large - fitting > max(fitting // _PRECISION, 1):
            plan = self.plan(stage, topology, tried * each, mesh)
            yield plan
            fitting, too_large = (tried, too_large) if plan.fits else (fitting, tried)
            tried = (fitting + too_large) // 2 if too_large else 2 * fitting


def first_batch(config: ConfigDict, stage: str, topology: Topology) -> int:
    """Returns the smallest batch that is not smaller than the configuration's and that the devices can divide."""
    if stage not in config.stages:
        raise UserError(f"no stage {stage!r}: there are {', '.join(config.stages)}", "stage", stage)
    parts = len(topology.devices) * config[stage].accumulate
    return -(-config[stage].batch_size // parts) * parts


def default_meshes(topology: Topology) -> list[str]:
    """Returns meshes with whole parameters and with parameters that the devices of a host share."""
    return ["data=-1,fsdp=1", f"data=-1,fsdp={topology.hosts.per_host}"]


def ranked(plans: Sequence[Plan]) -> list[Plan]:
    """Returns the plans sorted: those that fit first, by the clips per second of their last program."""

    def speed(plan: Plan) -> tuple[bool, float]:
        return plan.fits, plan.clips_per_second(plan.steps[-1]) if plan.steps else 0.0

    return sorted(plans, key=speed, reverse=True)
