"""Plans on disk: one JSON file for each, so that what was compiled once need not be compiled again."""

import dataclasses
import hashlib
import json
import pathlib
import re
from typing import Any

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.planning.compiling import compiler
from i2v_jax.planning.plan import Exchange, Memory, Plan, StepPlan
from i2v_jax.planning.programs import Request

_AXES = ("replica", "data", "fsdp")


def path(folder: pathlib.Path, request: Request) -> pathlib.Path:
    """Returns the file of the plan of a request.

    Its name ends with a hash of the configuration, of the compiler's version, and of whether it generates code, but
    not of the networks: delete the file after a change of them.
    """
    config = request.config
    fields = {**config.to_dict(), "data": {**config.data.to_dict(), "dir": ""}}
    content = json.dumps([fields, compiler(request.topology), request.code], sort_keys=True)
    mesh = "-".join(f"{axis}{size}" for axis, size in config.mesh.items() if axis in _AXES)
    name = f"{request.spec}.{request.stage}.{request.topology.name}.{mesh}.batch{request.batch}"
    return folder / f"{re.sub(r'[^a-zA-Z0-9_.=-]+', '-', name)}.{hashlib.sha256(content.encode()).hexdigest()[:8]}.json"


def write(file: pathlib.Path, plan: Plan) -> None:
    """Writes a plan. Raises UserError if the file cannot be written."""
    files.write_text(file, json.dumps(dataclasses.asdict(plan), indent=1) + "\n")


def read(file: pathlib.Path) -> Plan:
    """Returns the plan of a file. Raises UserError if it holds none."""
    try:
        return _plan(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} holds no plan ({error}): delete it and plan again", "out", str(file)) from error


def read_all(folder: pathlib.Path) -> list[Plan]:
    """Returns the plans of a folder, in the order of their files' names. Raises UserError for a damaged file."""
    return [read(file) for file in sorted(folder.glob("*.json"))]


def _plan(values: dict[str, Any]) -> Plan:
    return Plan(**{**values, "steps": tuple(map(_step, values["steps"]))})


def _step(values: dict[str, Any]) -> StepPlan:
    exchanges = tuple(Exchange(**exchange) for exchange in values["exchanges"])
    largest = tuple((source, moved) for source, moved in values["largest"])
    memory = Memory(**values["memory"])
    return StepPlan(**{**values, "updates": tuple(values["updates"]), "memory": memory, "exchanges": exchanges,
                       "largest": largest})  # fmt: skip
