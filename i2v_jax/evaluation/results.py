"""Turns what was measured into records: the value of each metric, its protocol, and its spread."""

import json

import numpy as np
from numpy.typing import NDArray

from i2v_jax.errors import UserError
from i2v_jax.evaluation import scoring
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.measure import Measured
from i2v_jax.evaluation.records import MetricProtocol, Record
from i2v_jax.metrics import base
from i2v_jax.metrics.accumulators import ClipTable
from i2v_jax.metrics.base import NO_WEIGHTS, SPARE, Metric, Reads
from i2v_jax.metrics.diversity import SAMPLES
from i2v_jax.metrics.registry import get_metric, ranking_metric


def records(model: EvaluatedModel, measured: Measured) -> tuple[Record, ...]:
    """Returns one record for each metric of the request.

    Raises:
        UserError: a value is not finite (the message names the clip), or there are too few clips.
    """
    found, refused = records_and_refusals(model, measured)
    if refused:
        raise refused[0]
    return found


def records_and_refusals(model: EvaluatedModel, measured: Measured) -> tuple[tuple[Record, ...], tuple[UserError, ...]]:
    """Returns the records of the metrics that have a value, and for each of the others the reason why it has none."""
    found, refused = [], []
    for metric in measured.request.chosen():
        try:
            found.append(_record(model, measured, metric))
        except UserError as error:
            refused.append(error)
    return tuple(found), tuple(refused)


def ranking(measured: Measured) -> tuple[str, NDArray[np.int64], NDArray[np.float64]]:
    """Returns a metric, the clips' numbers from best to worst, and their values in the first repeat.

    The metric is LPIPS, SSIM, PSNR, or another that compares pairs, the first of these that was measured. If there is
    none, it is "" and the clips stay in order. Infinite values are the best PSNRs.
    """
    metric = ranking_metric(measured.request.metrics)
    if metric is None:
        return "", np.arange(len(measured.reader)), np.zeros(len(measured.reader))
    state = measured.metric_state(metric)
    values = metric.clip_values(state)
    assert values is not None
    order = np.argsort(-values if metric.higher_is_better else values, kind="stable")
    return metric.name, _index(state, "0")[order], values[order]


def values_by_clip(model: EvaluatedModel, measured: Measured, name: str, repeat: int) -> dict[int, float]:
    """Returns each clip's value by its number; nothing for a metric under which single clips have no value."""
    metric = get_metric(name)
    state = measured.metric_state(metric)
    values = metric.clip_values(state, repeat, model.latent_dimensions)
    if values is None:
        return {}
    return dict(zip(_index(state, str(repeat)).tolist(), values.tolist(), strict=True))


def _index(state: base.State, part: str) -> NDArray[np.int64]:
    table = state[part]
    assert isinstance(table, ClipTable)
    return table.index


def _record(model: EvaluatedModel, measured: Measured, metric: Metric) -> Record:
    request, state = measured.request, measured.metric_state(metric)
    protocol = metric_protocol(model, measured, metric)
    _check_finite(measured, metric)
    scores = [metric.compute(state, repeat, model.latent_dimensions) for repeat in range(request.repeats)]
    curve = np.mean([score.curve for score in scores], axis=0).tolist()
    floor = metric.floor(state, measured.scored_clips(metric))
    return Record(
        protocol,
        model.identity(request.seed),
        tuple(score.value for score in scores),
        floor,
        tuple(curve),
        measured.reader.source.content_sha256,
    )


def _check_finite(measured: Measured, metric: Metric) -> None:
    """Raises UserError for a value that is not finite, with its clip."""
    for part, table in measured.metric_state(metric).items():
        if not isinstance(table, ClipTable):  # moments are finite
            continue
        finite = np.isfinite(table.values.reshape(len(table.values), -1)).all(axis=1)
        if not finite.all():
            number = int(table.index[np.argmin(finite)])
            clip = (measured.spare if part == SPARE else measured.reader).clip(number)
            raise UserError(
                f"{metric.name} of clip {number} ({clip.video} from frame {clip.start}) is not finite, "
                f"and so for {int((~finite).sum()) - 1} others: remove it from --metrics",
                field="metrics",
                value=metric.name,
            )


def metric_protocol(model: EvaluatedModel, measured: Measured, metric: Metric) -> MetricProtocol:
    """Returns all that makes the value what it is."""
    request, listed, seen = measured.request, measured.reader.listed, metric.preprocessing
    pokes = measured.reader.pokes
    protocol, count = request.protocol, measured.scored_clips(metric)
    return MetricProtocol(
        metric=metric.name,
        version=metric.version,
        backbone=metric.backbone.name if metric.backbone else "none",
        backbone_sha256=measured.weights_sha256.get(metric.name, NO_WEIGHTS),
        layer=metric.layer,
        precision="float32",
        input_range=seen.input_range.description,
        input_dtype=scoring.input_dtype(metric, protocol),
        resize_kernel=seen.kernel,
        resize_corners=seen.corners or "none",
        resize=seen.size,
        protocol=f"{protocol.name}, first {request.clips} clips" if request.clips else protocol.name,
        pairing="; ".join(filter(None, (scoring.pairing(metric, protocol), model.condition))),
        frames=scoring.scored_frames(metric, protocol),
        stride=protocol.stride,
        start_rule=protocol.starts,
        start_frame_scored=scoring.sees_start_frame(metric, protocol),
        size=model.generator.size,
        num_real=count,
        num_generated=0 if metric.reads is Reads.LIKELIHOOD else count,
        samples_per_condition=SAMPLES if metric.reads is Reads.SAMPLES else 1,
        dropped=scoring.available_clips(metric, protocol, len(listed)) - count,
        distinct_clips=listed.distinct(count),
        videos_too_short=len(listed.too_short),
        data=model.data_name,
        split=request.split,
        clip_list_sha256=listed.sha256,
        covariance_ddof=metric.covariance_ddof,
        matrix_square_root=metric.matrix_square_root,
        pokes=json.dumps(pokes.described, sort_keys=True) if pokes else "none",
        **measured.reader.truth,
    )
