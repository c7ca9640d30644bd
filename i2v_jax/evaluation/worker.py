"""From a batch of clips to what each metric keeps of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from i2v_jax.evaluation import scoring
from i2v_jax.evaluation.clips import Batch, ClipReader
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.request import Request
from i2v_jax.evaluation.state import Tables
from i2v_jax.metrics import checks
from i2v_jax.metrics.accumulators import ClipTable
from i2v_jax.metrics.base import REAL, SPARE, Metric, Reads
from i2v_jax.metrics.diversity import SAMPLES
from i2v_jax.metrics.kinds import LogLikelihood

EXTREMES = "extremes"  # table "extremes/PART": the smallest and the largest value of each clip


@dataclasses.dataclass(frozen=True, eq=False)
class _Extractor:
    """A metric with the weights of its backbone on all devices."""

    metric: Metric
    weights_sha256: str
    variables: Any
    function: Callable[..., jax.Array]


class Worker:
    """Measures batches of clips on the devices of this process."""

    def __init__(
        self, model: EvaluatedModel, request: Request, reader: ClipReader, spare: ClipReader, batch_size: int
    ) -> None:
        self._model, self._request, self._reader, self._spare = model, request, reader, spare
        metrics, mesh = request.chosen(), model.mesh
        self._batch_size = -(-batch_size // mesh.size) * mesh.size
        self._over_devices = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
        everywhere = NamedSharding(mesh, PartitionSpec())
        # Metrics that differ in their unit share a table.
        self._likelihoods = {metric.table: metric for metric in metrics if isinstance(metric, LogLikelihood)}
        self._extractors = [
            _Extractor(
                metric,
                metric.weights_sha256(),
                jax.device_put(metric.load(), everywhere),
                jax.jit(metric.extract_in_float32),
            )
            for metric in metrics
            if metric.reads is not Reads.LIKELIHOOD
        ]

    def weights_sha256(self) -> dict[str, str]:
        """Returns the hash of each metric's backbone, by the metric's name."""
        return {item.metric.name: item.weights_sha256 for item in self._extractors}

    def tables(self, example_ids: Sequence[int]) -> Tables:
        """Returns what these clips add to the states of the metrics.

        Args:
            example_ids: of the clips, in increasing order. Those from `len(reader)` on are the spare ones.

        Raises:
            UserError: frames are not finite, not in [-1, 1], or constant.
        """
        if example_ids[0] >= len(self._reader):
            return self._spare_tables(example_ids)
        clips = self._reader.read(example_ids)
        checks.check_batch("real", clips["video"], example_ids[0])
        found = _extremes(REAL, example_ids, clips["video"])
        for repeat in range(self._request.repeats):
            found |= self._likelihood_tables(example_ids, clips, repeat)
            found |= self._sample_tables(example_ids, clips, repeat)
        return found

    def _likelihood_tables(self, example_ids: Sequence[int], clips: Batch, repeat: int) -> Tables:
        found: Tables = {}
        for metric in self._likelihoods.values():
            if example_ids[0] < self._count(metric):
                seed = self._request.seed + repeat
                nats = self._model.log_likelihood(clips, example_ids, seed, exact=metric.exact)
                found |= self._kept(metric, str(repeat), example_ids, np.asarray(metric.extract({}, jnp.asarray(nats))))
        return found

    def _sample_tables(self, example_ids: Sequence[int], clips: Batch, repeat: int) -> Tables:
        extractors = [item for item in self._extractors if example_ids[0] < self._count(item.metric)]
        if not extractors:
            return {}
        count = SAMPLES if any(item.metric.reads is Reads.SAMPLES for item in extractors) else 1
        frames = self._request.protocol.clip_frames
        samples = self._model.sample(clips, example_ids, self._request.seed + repeat, count, frames)
        checks.check_batch("generated", samples.reshape(-1, *samples.shape[2:]), example_ids[0] * count)
        found = _extremes(str(repeat), example_ids, samples)
        for extractor in extractors:
            found |= self._extracted(extractor, example_ids, clips, samples, repeat)
        return found

    def _spare_tables(self, example_ids: Sequence[int]) -> Tables:
        own = [example_id - len(self._reader) for example_id in example_ids]
        video = self._spare.read(own)["video"]
        checks.check_batch("real", video, example_ids[0])
        found = _extremes(REAL, example_ids, video)
        for extractor in self._extractors:
            metric = extractor.metric
            if metric.reads is Reads.SETS and own[0] < self._count(metric):
                real, _ = scoring.compared(metric, self._request.protocol, video, video[:, 1:])
                found |= self._kept(metric, SPARE, own, self._apply(extractor, real))
        return found

    def _extracted(
        self, extractor: _Extractor, example_ids: Sequence[int], clips: Batch, samples: NDArray[Any], repeat: int
    ) -> Tables:
        metric, part = extractor.metric, str(repeat)
        if metric.reads is Reads.SAMPLES:
            return self._kept(metric, part, example_ids, self._apply(extractor, samples))
        real, generated = scoring.compared(metric, self._request.protocol, clips["video"], samples[:, 0])
        checks.check_same_shape("real", real, "generated", generated)
        if metric.reads is Reads.PAIRS:
            return self._kept(metric, part, example_ids, self._apply(extractor, real, generated))
        found = self._kept(metric, part, example_ids, self._apply(extractor, generated))
        if repeat == 0:
            found |= self._kept(metric, REAL, example_ids, self._apply(extractor, real))
        return found

    def _apply(self, extractor: _Extractor, *arrays: Any) -> NDArray[Any]:
        """Calls the extractor with batches of one size, the last rows repeated, so that one program is compiled."""
        count = len(arrays[0])
        rows = np.minimum(np.arange(self._batch_size), count - 1)
        placed = [jax.device_put(np.asarray(array)[rows], self._over_devices) for array in arrays]
        return np.asarray(extractor.function(extractor.variables, *placed))[:count]

    def _kept(self, metric: Metric, part: str, example_ids: Sequence[int], rows: NDArray[Any]) -> Tables:
        """Returns the state of the clips that the metric takes, as tables."""
        count = self._count(metric)
        taken = [example_id for example_id in example_ids if example_id < count]
        state = metric.update(metric.init(), part, taken, rows[: len(taken)], count)
        return {f"{metric.table}/{name}": table for name, table in state.items()}

    def _count(self, metric: Metric) -> int:
        return self._request.scored_clips(metric, len(self._reader))


def _extremes(part: str, example_ids: Sequence[int], videos: NDArray[Any]) -> Tables:
    flat = videos.reshape(len(videos), -1)
    rows = np.stack([flat.min(axis=1), flat.max(axis=1)], axis=1)
    return {f"{EXTREMES}/{part}": ClipTable.empty(2).add(example_ids, rows)}
