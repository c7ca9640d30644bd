"""What to measure, and whether it can be measured."""

import dataclasses
from typing import Any

from i2v_jax.data.protocol import Protocol
from i2v_jax.errors import UserError
from i2v_jax.evaluation import scoring
from i2v_jax.evaluation.clips import ClipReader, open_clips
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.metrics.base import Metric, Reads
from i2v_jax.metrics.registry import get_metric


@dataclasses.dataclass(frozen=True)
class Request:
    """What to measure."""

    protocol: Protocol
    metrics: tuple[str, ...]
    split: str = "test"
    clips: int = 0  # number of clips, the first ones; 0: all of the protocol
    seed: int = 0  # of the clip list and of the first repeat; repeat r has seed + r
    repeats: int = 1

    def chosen(self) -> tuple[Metric, ...]:
        """Returns the metrics. Raises UserError for an unknown one."""
        return tuple(get_metric(name) for name in self.metrics)

    def scored_clips(self, metric: Metric, listed: int) -> int:
        """Returns how many of the `listed` clips, the first ones, a metric takes."""
        return scoring.scored_clips(metric, self.protocol, listed)

    def spare_clips(self, listed: int) -> int:
        """Returns how many further real clips serve the distances between real sets: the most that a set has."""
        sets = [metric for metric in self.chosen() if metric.reads is Reads.SETS]
        return max((self.scored_clips(metric, listed) for metric in sets), default=0)


def open_reader(model: EvaluatedModel, request: Request) -> ClipReader:
    """Returns a reader of the listed clips. Raises UserError if the data is missing or no video is long enough."""
    paired = any(metric.reads is Reads.PAIRS for metric in request.chosen())
    return open_clips(
        model.config.data, request.protocol, request.split, seed=request.seed, paired=paired, limit=request.clips
    )


def check(request: Request, listed: int) -> None:
    """Raises UserError if a metric is not defined for the clips of the protocol, or has too few of them."""
    for metric in request.chosen():
        frames, count = scoring.scored_frames(metric, request.protocol), request.scored_clips(metric, listed)
        problem = ""
        if not metric.fits(frames):
            most = f"to {metric.max_frames}" if metric.max_frames else "or more"
            problem = f"{metric.name} needs clips of {metric.min_frames} {most} frames, these have {frames}"
        elif count < metric.min_clips:
            problem = f"{metric.name} needs at least {metric.min_clips} clips, there are {count}: evaluate more clips"
        if problem:
            raise UserError(problem, field="metrics", value=metric.name)


def settings(
    model: EvaluatedModel, request: Request, reader: ClipReader, weights_sha256: dict[str, str]
) -> dict[str, Any]:
    """Returns all that the values of a clip depend on, for `State`."""
    return {
        "protocol": dataclasses.asdict(request.protocol),
        "metrics": sorted(request.metrics),
        "seed": request.seed,
        "repeats": request.repeats,
        "clips": reader.listed.sha256,
        "data": model.data_name,
        "split": request.split,
        "checkpoint": model.checkpoint_sha256,
        "temperature": model.temperature,
        "condition": model.condition,
        "pokes": reader.pokes.described if reader.pokes else None,
        "weights": weights_sha256,
        **reader.truth,
        "data_sha256": reader.source.content_sha256,
    }
