"""The table of a sweep: what its runs have in different values, how far they are, and how well they do."""

from collections.abc import Sequence
from typing import Any

from i2v_jax import files, sweeps
from i2v_jax.reports.page import Table
from i2v_jax.training.writers import read_metrics

_HELD_OUT = "eval/"


def sweep_tables(folders: Sequence[files.PathLike]) -> dict[str, Table]:
    """Returns title -> table for those of the folders that hold a sweep."""
    return {f"Sweep {folder}": _table(folder, runs) for folder in folders if (runs := sweeps.read(folder))}


def _table(folder: files.PathLike, runs: Sequence[sweeps.Run]) -> Table:
    """Returns one row per run, with the last held-out metrics of the stage that it trained last."""
    logs = [_last_stage(run, folder) for run in runs]
    metrics = dict.fromkeys(name for _, lines in logs for line in lines for name in line if name.startswith(_HELD_OUT))
    rows = []
    for run, (stage, lines) in zip(runs, logs, strict=True):
        step = str(lines[-1]["step"]) if lines else ""
        values = [_last_value(lines, name) for name in metrics]
        rows.append((run.name, *run.values.values(), stage or "not started", step, *values))
    header = ("run", *runs[0].values, "stage", "step", *(name.removeprefix(_HELD_OUT) for name in metrics))
    return Table(header, tuple(rows))


def _last_stage(run: sweeps.Run, folder: files.PathLike) -> tuple[str, list[dict[str, Any]]]:
    """Returns the stage that was trained last, and its log; "" and nothing if none was."""
    stages = [path.parent for path in run.workdir(folder).glob("*/metrics.jsonl")]
    logs = {stage.name: read_metrics(stage) for stage in stages}
    return max(logs.items(), key=lambda item: item[1][-1].get("time", 0.0) if item[1] else 0.0, default=("", []))


def _last_value(lines: Sequence[dict[str, Any]], name: str) -> str:
    values = [line[name] for line in lines if line.get(name) is not None]
    return f"{values[-1]:.4g}" if values else ""
