"""Measures a model: samples, metrics, progress and resumption, on any number of devices and processes."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np

from i2v_jax import logs
from i2v_jax.distributed import processes
from i2v_jax.errors import UserError
from i2v_jax.evaluation import request as requests
from i2v_jax.evaluation.clips import ClipReader
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.records import Record, check_not_replaced
from i2v_jax.evaluation.request import Request
from i2v_jax.evaluation.state import State, Tables
from i2v_jax.evaluation.worker import EXTREMES, Worker
from i2v_jax.logs import logger
from i2v_jax.metrics import base, checks
from i2v_jax.metrics.accumulators import ClipTable, merge_all
from i2v_jax.metrics.base import REAL, Metric
from i2v_jax.metrics.registry import get_metric

_VISIBLE_AFTER = 120  # seconds in which a network file system shows a file to all machines


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured. A table is named "METRIC/PART", for the parts of the metric's state."""

    request: Request
    reader: ClipReader
    spare: ClipReader  # of further real clips, for the distances between real sets; there may be none
    state: State
    tables: Tables
    weights_sha256: dict[str, str]  # of a metric's backbone, by the metric's name

    def metric_state(self, metric: Metric) -> base.State:
        """Returns the state of a metric, for its `compute`."""
        prefix = f"{metric.table}/"
        return {name.removeprefix(prefix): table for name, table in self.tables.items() if name.startswith(prefix)}

    def scored_clips(self, metric: Metric) -> int:
        """Returns how many clips, the first ones, a metric takes."""
        return self.request.scored_clips(metric, len(self.reader))


def available_metrics(metrics: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the metrics whose weights are available, and for each of the others a line on how to get them."""
    available, missing = [], []
    for name in metrics:
        try:
            get_metric(name).weights_sha256()
            available.append(name)
        except UserError as error:
            missing.append(f"{name} is left out: {error}")
    return tuple(available), tuple(missing)


def measure(
    model: EvaluatedModel,
    request: Request,
    folder: pathlib.Path,
    *,
    batch_size: int = 8,
    save_every: int = 10,
    progress: bool = False,
    earlier: Sequence[Record] = (),
) -> Measured:
    """Measures every clip of the protocol, and continues an evaluation of the same settings that was interrupted.

    The values do not depend on `batch_size`, devices or processes beyond the rounding of float32. With several
    processes each calls this, `folder` is one that all of them see, and all return the same.

    Args:
        model: what to measure.
        request: how to measure it.
        folder: for the state, until `Measured.state.remove`.
        batch_size: clips at a time on each process.
        save_every: batches after which the state is written.
        progress: show a progress bar.
        earlier: records beside which the results will be written.

    Raises:
        UserError: an earlier record would be replaced by one of other videos, there is an unfinished evaluation on
            other data, missing weights or data, too few or too short clips, invalid frames.
    """
    reader = requests.open_reader(model, request)
    requests.check(request, len(reader))
    setting = {"data": model.data_name, "split": request.split, **reader.truth}
    check_not_replaced(earlier, model.identity(request.seed), reader.source.content_sha256, setting)
    spare = reader.spare(request.protocol, request.seed, request.spare_clips(len(reader)))
    worker = Worker(model, request, reader, spare, batch_size)
    weights = worker.weights_sha256()
    state = State(folder, requests.settings(model, request, reader, weights))
    done = set(processes.agree(lambda: sorted(_done(state.load()))))
    total = len(reader) + len(spare)
    batches = [
        remaining[first : first + batch_size]
        for example_ids in (range(len(reader)), range(len(reader), total))
        for remaining in ([example_id for example_id in example_ids if example_id not in done],)
        for first in range(0, len(remaining), batch_size)
    ]
    if done and progress:
        logger.info(f"continuing after {len(done)} of {total} clips")
    with logs.progress(total=total, initial=len(done), desc="evaluation", unit="clip", disable=not progress) as bar:
        _work(worker, batches, state, save_every, bar)
    processes.wait_for_all()
    tables = _all_tables(state, total)
    _check_ranges(tables, request.repeats)
    return Measured(request, reader, spare, state, tables, weights)


def _work(worker: Worker, batches: Sequence[Sequence[int]], state: State, save_every: int, bar: logs.Lines) -> None:
    """Measures this process's share of the batches."""
    count = jax.process_count()
    mine = batches[jax.process_index() :: count]
    unsaved: Tables = {}
    for index, example_ids in enumerate(mine):
        unsaved = merge_all(unsaved, worker.tables(example_ids))
        if (index + 1) % save_every == 0 or index + 1 == len(mine):
            state.save(unsaved)
            unsaved = {}
        bar.update(sum(map(len, batches[index * count : (index + 1) * count])))


def _done(tables: Tables) -> set[int]:
    table = tables.get(f"{EXTREMES}/{REAL}")
    return set(table.index.tolist()) if isinstance(table, ClipTable) else set()


def _all_tables(state: State, total: int) -> Tables:
    """Returns what all processes have saved.

    Raises:
        UserError: the folder does not show the files of all of them.
    """
    deadline = time.monotonic() + _VISIBLE_AFTER
    while len(_done(tables := state.load())) < total:
        if time.monotonic() > deadline:
            raise UserError(
                f"{state.folder} holds {len(_done(tables))} of {total} clips: give an --out that all processes see",
                "out",
                str(state.folder),
            )
        time.sleep(1)
    return tables


def _check_ranges(tables: Tables, repeats: int) -> None:
    """Checks whole sets: one bright batch does not show whether its frames are in [-1, 1] or in [0, 1]."""
    for name, parts in ((REAL, (REAL,)), ("generated", tuple(map(str, range(repeats))))):
        found = [tables.get(f"{EXTREMES}/{part}") for part in parts]
        rows = [table.values for table in found if isinstance(table, ClipTable)]
        if rows:
            extremes = np.concatenate(rows)
            checks.check_range(name, float(extremes[:, 0].min()), float(extremes[:, 1].max()))
