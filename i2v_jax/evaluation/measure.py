"""From clips to values per clip: samples, metrics, progress, resumption, on any number of devices and processes."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import tqdm
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from i2v_jax.data.protocol import Protocol
from i2v_jax.errors import UserError
from i2v_jax.evaluation import frame_sets, scoring
from i2v_jax.evaluation.clips import Batch, ClipReader, open_clips
from i2v_jax.evaluation.evaluated_model import Candidate
from i2v_jax.evaluation.state import State, Tables, merged
from i2v_jax.metrics import checks
from i2v_jax.metrics.accumulators import ClipTable
from i2v_jax.metrics.conventions import convention
from i2v_jax.metrics.diversity import SAMPLES
from i2v_jax.metrics.extractors import Extractor, check_weights, make_extractor

REAL, SPARE, EXTREMES = "real", "spare", "extremes"  # parts of the names of tables
_FEWEST = {"frechet": 4, "paired": 2, "diversity": 2, "likelihood": 2}  # clips


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be measured."""

    protocol: Protocol
    metrics: tuple[str, ...]
    split: str = "test"
    clips: int = 0  # at most so many, the first ones; 0: all of the protocol
    seed: int = 0  # of the clip list and of the first repeat; repeat r has seed + r
    repeats: int = 1


@dataclasses.dataclass(frozen=True)
class Measured:
    """Table "METRIC/real", "METRIC/spare" or "METRIC/REPEAT" -> each clip's values, or the moments of all frames."""

    request: Request
    reader: ClipReader
    spare: ClipReader  # of further true clips, for the floors; it may have none
    state: State
    tables: Tables
    weights_sha256: dict[str, str]  # metric -> of its backbone

    def clip_table(self, metric: str, part: int | str) -> ClipTable:
        """Of a metric that keeps each clip's values."""
        table = self.tables[f"{likelihood_table(metric)}/{part}"]
        assert isinstance(table, ClipTable)
        return table

    def scored_clips(self, metric: str) -> int:
        """How many clips, the first ones, a metric takes."""
        return scoring.scored_clips(metric, self.request.protocol, len(self.reader))


def available_metrics(metrics: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(those whose weights are there, one line for each of the others that says how to get them)."""
    there, missing = [], []
    for metric in metrics:
        try:
            check_weights(metric)
            there.append(metric)
        except UserError as error:
            missing.append(f"{metric} is left out: {error}")
    return tuple(there), tuple(missing)


def measure(
    candidate: Candidate,
    request: Request,
    folder: pathlib.Path,
    *,
    batch_size: int = 8,
    save_every: int = 10,
    progress: bool = False,
) -> Measured:
    """Measures every clip of the protocol; goes on where an evaluation of the same settings stopped.

    The values do not depend on `batch_size`, devices or processes beyond the rounding of float32. With several
    processes each calls this, `folder` is one that all of them see, and all return the same.

    Args:
        candidate: the model.
        request: what to measure.
        folder: for the state, until `Measured.state.remove`.
        batch_size: clips at a time on each process.
        save_every: batches after which the state is written.
        progress: show a bar.

    Raises:
        UserError: missing weights or data, too few or too short clips, frames that are not what they should be.
    """
    reader = _reader(candidate, request)
    _check_request(request, reader)
    spare = reader.spare(request.protocol, request.seed, _frechet_clips(request, reader))
    worker = _Worker(candidate, request, reader, spare, batch_size)
    state = worker.state(folder)
    done = _done(state.load())
    _wait("read")  # nobody writes before all have read what is done
    total = len(reader) + len(spare)
    batches = [
        remaining[first : first + batch_size]
        for numbers in (range(len(reader)), range(len(reader), total))
        for remaining in ([number for number in numbers if number not in done],)
        for first in range(0, len(remaining), batch_size)
    ]
    mine = batches[jax.process_index() :: jax.process_count()]
    if done and progress:
        tqdm.tqdm.write(f"continuing after {len(done)} of {total} clips")
    unsaved: Tables = {}
    bar = tqdm.tqdm(total=total, initial=len(done), desc="evaluation", unit="clip", disable=not progress)
    with bar:
        for index, numbers in enumerate(mine):
            unsaved = merged(unsaved, worker.tables(numbers))
            if (index + 1) % save_every == 0 or index + 1 == len(mine):
                state.save(unsaved)
                unsaved = {}
            bar.update(sum(map(len, batches[index * jax.process_count() : (index + 1) * jax.process_count()])))
    _wait("measured")
    tables = state.load()
    _check_ranges(tables, request.repeats)
    shas = {extractor.metric: extractor.weights_sha256 for extractor in worker.extractors}
    return Measured(request, reader, spare, state, tables, shas)


class _Worker:
    """Measures batches of clips."""

    def __init__(
        self, candidate: Candidate, request: Request, reader: ClipReader, spare: ClipReader, batch_size: int
    ) -> None:
        self._candidate, self._request, self._reader, self._spare = candidate, request, reader, spare
        likelihoods = {metric for metric in request.metrics if convention(metric).kind == "likelihood"}
        self._likelihoods = sorted({likelihood_table(metric) for metric in likelihoods})
        mesh = candidate.mesh
        self._batch_size = -(-batch_size // mesh.size) * mesh.size
        self._over_devices = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
        everywhere = NamedSharding(mesh, PartitionSpec())
        made = [make_extractor(metric) for metric in request.metrics if metric not in likelihoods]
        self.extractors = [
            dataclasses.replace(item, weights=jax.device_put(item.weights, everywhere), function=jax.jit(item.function))
            for item in made
        ]
        self._counts = {
            likelihood_table(metric): scoring.scored_clips(metric, request.protocol, len(reader))
            for metric in request.metrics
        }

    def state(self, folder: pathlib.Path) -> State:
        shas = {extractor.metric: extractor.weights_sha256 for extractor in self.extractors}
        return State(folder, _settings(self._candidate, self._request, self._reader, shas))

    def tables(self, numbers: Sequence[int]) -> Tables:
        """What these clips, in rising order, add to the metrics that take any of them; spare ones are numbered last."""
        if numbers[0] >= len(self._reader):
            return self._spare_tables(numbers)
        clips = self._reader.read(numbers)
        checks.check_batch("real", clips["video"], numbers[0])
        found = self._extremes(REAL, numbers, clips["video"])
        extractors = [item for item in self.extractors if numbers[0] < self._counts[item.metric]]
        kinds = {item.convention.kind for item in extractors}
        for repeat in range(self._request.repeats):
            seed = self._request.seed + repeat
            for name in self._likelihoods:
                if numbers[0] < self._counts[name]:
                    nats = self._candidate.log_likelihood(clips, numbers, seed, exact=name == "log_likelihood")
                    found |= self._kept(name, repeat, numbers, nats)
            if kinds:
                count, frames = SAMPLES if "diversity" in kinds else 1, self._request.protocol.clip_frames
                samples = self._candidate.sample(clips, numbers, seed, count, frames)
                checks.check_batch("generated", samples.reshape(-1, *samples.shape[2:]), numbers[0] * count)
                found |= self._extremes(str(repeat), numbers, samples)
                for extractor in extractors:
                    found |= self._extracted(extractor, numbers, clips, samples, repeat)
        return found

    def _spare_tables(self, numbers: Sequence[int]) -> Tables:
        own = [number - len(self._reader) for number in numbers]
        video = self._spare.read(own)["video"]
        checks.check_batch("real", video, numbers[0])
        found = self._extremes(REAL, numbers, video)
        for extractor in self.extractors:
            metric = extractor.metric
            if extractor.convention.kind == "frechet" and own[0] < self._counts[metric]:
                truth, _ = scoring.compared(metric, self._request.protocol, video, video[:, 1:])
                found |= self._kept(metric, SPARE, own, self._apply(extractor, truth))
        return found

    def _extracted(
        self, extractor: Extractor, numbers: Sequence[int], clips: Batch, samples: NDArray[Any], repeat: int
    ) -> Tables:
        metric, kind = extractor.metric, extractor.convention.kind
        if kind == "diversity":
            return self._kept(metric, repeat, numbers, self._apply(extractor, samples))
        truth, generated = scoring.compared(metric, self._request.protocol, clips["video"], samples[:, 0])
        checks.check_same_shape("real", truth, "generated", generated)
        if kind == "paired":
            return self._kept(metric, repeat, numbers, self._apply(extractor, truth, generated))
        found = self._kept(metric, repeat, numbers, self._apply(extractor, generated))
        if repeat == 0:
            found |= self._kept(metric, REAL, numbers, self._apply(extractor, truth))
        return found

    def _apply(self, extractor: Extractor, *arrays: Any) -> NDArray[Any]:
        """In batches of one size, the last rows repeated, so that one program serves."""
        count = len(arrays[0])
        rows = np.minimum(np.arange(self._batch_size), count - 1)
        placed = [jax.device_put(np.asarray(array)[rows], self._over_devices) for array in arrays]
        return np.asarray(extractor.function(extractor.weights, *placed))[:count]

    def _kept(self, metric: str, part: int | str, numbers: Sequence[int], rows: NDArray[Any]) -> Tables:
        """The rows of the clips that the metric takes."""
        count, name = self._counts[metric], f"{metric}/{part}"
        taken = [number for number in numbers if number < count]
        rows = rows[: len(taken)]
        if convention(metric).pools_frames:
            return frame_sets.moments_of(rows, frame_sets.names(name, taken, count, real=part in (REAL, SPARE)))
        return {name: ClipTable.empty(*rows.shape[1:]).add(taken, rows)}

    @staticmethod
    def _extremes(part: str, numbers: Sequence[int], videos: NDArray[Any]) -> Tables:
        """The smallest and the largest value of each clip."""
        flat = videos.reshape(len(videos), -1)
        rows = np.stack([flat.min(axis=1), flat.max(axis=1)], axis=1)
        return {f"{EXTREMES}/{part}": ClipTable.empty(2).add(numbers, rows)}


def likelihood_table(metric: str) -> str:
    """Both units come from the nats of one table."""
    return metric.replace("bits_per_dimension", "log_likelihood")


def _reader(candidate: Candidate, request: Request) -> ClipReader:
    paired = any(convention(metric).kind == "paired" for metric in request.metrics)
    return open_clips(
        candidate.config.data, request.protocol, request.split, seed=request.seed, paired=paired, limit=request.clips
    )


def _frechet_clips(request: Request, reader: ClipReader) -> int:
    """The most that a distance between sets has."""
    metrics = [metric for metric in request.metrics if convention(metric).kind == "frechet"]
    return max((scoring.scored_clips(metric, request.protocol, len(reader)) for metric in metrics), default=0)


def _check_request(request: Request, reader: ClipReader) -> None:
    for metric in request.metrics:
        chosen, frames = convention(metric), scoring.scored_frames(metric, request.protocol)
        count = scoring.scored_clips(metric, request.protocol, len(reader))
        checks.check_clip_length(f"{metric} ({chosen.backbone})", frames, chosen.min_frames)
        if chosen.max_frames and frames > chosen.max_frames:
            raise UserError(f"{metric} is defined for clips of {chosen.max_frames} frames, these have {frames}")
        try:
            checks.check_clip_count("test", count, _FEWEST[chosen.kind])
        except UserError as error:
            raise UserError(f"{metric}: {error}") from error


def _settings(
    candidate: Candidate, request: Request, reader: ClipReader, weights_sha256: dict[str, str]
) -> dict[str, Any]:
    return {
        "protocol": dataclasses.asdict(request.protocol),
        "metrics": sorted(request.metrics),
        "seed": request.seed,
        "repeats": request.repeats,
        "clips": reader.listed.sha256,
        "data": candidate.data_name,
        "split": request.split,
        "checkpoint": candidate.checkpoint_sha256,
        "temperature": candidate.temperature,
        "told": candidate.condition,
        "weights": weights_sha256,
    }


def _done(tables: Tables) -> set[int]:
    table = tables.get(f"{EXTREMES}/{REAL}")
    return set(table.index.tolist()) if isinstance(table, ClipTable) else set()


def _check_ranges(tables: Tables, repeats: int) -> None:
    """Of whole sets: frames in [0, 1] cannot be told from a bright batch."""
    for name, parts in ((REAL, (REAL,)), ("generated", tuple(map(str, range(repeats))))):
        found = [tables.get(f"{EXTREMES}/{part}") for part in parts]
        rows = [table.values for table in found if isinstance(table, ClipTable)]
        if rows:
            extremes = np.concatenate(rows)
            checks.check_range(name, float(extremes[:, 0].min()), float(extremes[:, 1].max()))


def _wait(what: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)
