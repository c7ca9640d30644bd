"""A sweep: trainings that differ in some fields of their configuration.

Its folder holds `sweep.json`, the table of its runs, `N.flags`, the arguments of run N for launch.train, and the work
directories of the runs.
"""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence

from i2v_jax import config_files, files
from i2v_jax.errors import UserError

_TABLE = "sweep.json"


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a sweep."""

    name: str  # of its work directory
    values: Mapping[str, str]  # field -> value, as on a command line

    def workdir(self, sweep: files.PathLike) -> pathlib.Path:
        return files.location(sweep) / self.name


def plan(spec: str, overrides: Sequence[str], swept: Mapping[str, str]) -> list[Run]:
    """Returns one run per combination of values; those of the last field change fastest.

    Args:
      spec: the value of `--config`.
      overrides: "FIELD=VALUE" that all runs share.
      swept: field -> its values, with commas between them, or semicolons if values have commas.

    Raises:
      UserError: no field is swept, or the configuration of a run is refused.
    """
    if not swept:
        raise UserError("no field is swept: give some, as --sweep.seed=0,1,2", "sweep.")
    values = [text.split(";" if ";" in text else ",") for text in swept.values()]
    leaves = [field.rpartition(".")[2] for field in swept]
    names = [leaf if leaves.count(leaf) == 1 else field for field, leaf in zip(swept, leaves, strict=True)]
    runs = []
    for chosen in itertools.product(*values):
        fields = dict(zip(swept, map(str.strip, chosen), strict=True))
        config_files.load(spec, [*overrides, *_assignments(fields)])
        parts = (f"{name}={value}" for name, value in zip(names, fields.values(), strict=True))
        runs.append(Run(",".join(parts).replace("/", "_").replace(" ", ""), fields))
    if len({run.name for run in runs}) < len(runs):
        raise UserError("a value is given twice: give each value of --sweep.FIELD once", "sweep.", dict(swept))
    return runs


def write(folder: files.PathLike, spec: str, overrides: Sequence[str], runs: Sequence[Run]) -> None:
    """Writes the table and the flags of each run.

    Raises:
      UserError: the folder has another sweep, or cannot be written.
    """
    root = files.location(folder)
    if (root / _TABLE).is_file() and read(folder) != list(runs):
        raise UserError(f"{folder} has another sweep: use another --workdir", "workdir", str(folder))
    for number, run in enumerate(runs):
        assignments = [f"--config.{item}" for item in (*overrides, *_assignments(run.values))]
        flags = [f"--config={spec}", *assignments, f"--workdir={run.workdir(folder)}"]
        files.write_text(root / f"{number}.flags", "".join(f"{flag}\n" for flag in flags))
    files.write_text(root / _TABLE, json.dumps([dataclasses.asdict(run) for run in runs], indent=1) + "\n")


def read(folder: files.PathLike) -> list[Run]:
    """Returns the runs of the sweep in a folder, none if it has no sweep. Raises UserError for a damaged table."""
    path = files.location(folder) / _TABLE
    if not path.is_file():
        return []
    try:
        return [Run(**fields) for fields in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        message = f"{path} is not the table of a sweep ({error}): write it again"
        raise UserError(message, "workdir", str(path)) from error


def _assignments(values: Mapping[str, str]) -> list[str]:
    return [f"{field}={value}" for field, value in values.items()]
