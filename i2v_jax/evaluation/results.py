"""From values per clip to records: what each number is, its floor, its spread."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from i2v_jax.errors import UserError
from i2v_jax.evaluation import frame_sets, scoring
from i2v_jax.evaluation.evaluated_model import Candidate
from i2v_jax.evaluation.measure import REAL, SPARE, Measured
from i2v_jax.evaluation.records import MetricProtocol, Record, real_floor
from i2v_jax.metrics.conventions import convention
from i2v_jax.metrics.diversity import SAMPLES
from i2v_jax.metrics.extractors import NO_WEIGHTS
from i2v_jax.metrics.frechet import TRACE_METHOD, frechet_distance_of_table
from i2v_jax.models.flow import bits_per_dimension

_DDOF = 1
_RANKED_BY = ("lpips", "ssim", "psnr")  # the first of these that was measured


def records(candidate: Candidate, measured: Measured) -> tuple[Record, ...]:
    """One record for each metric of the request.

    Raises:
        UserError: a value is not finite, with its clip; too few clips for a floor.
    """
    found, refused = records_and_refusals(candidate, measured)
    if refused:
        raise refused[0]
    return found


def records_and_refusals(candidate: Candidate, measured: Measured) -> tuple[tuple[Record, ...], tuple[UserError, ...]]:
    """The records of the metrics that have a number, and why each of the others has none."""
    found, refused = [], []
    for metric in measured.request.metrics:
        try:
            found.append(_record(candidate, measured, metric))
        except UserError as error:
            refused.append(error)
    return tuple(found), tuple(refused)


def values_of(measured: Measured, metric: str, part: int | str) -> NDArray[np.float64]:
    """What was measured of each clip, in order; [N, ...]. Raises UserError for a value that is not finite."""
    table = measured.clip_table(metric, part)
    values = table.values.astype(np.float64)
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        number = int(table.index[np.argmin(finite)])
        clip = (measured.spare if part == SPARE else measured.reader).clip(number)
        raise UserError(
            f"{metric} of clip {number} ({clip.video} from frame {clip.start}) is not finite, "
            f"as of {int((~finite).sum()) - 1} others: it has no number on these clips, leave it out of --metrics"
        )
    return values


def ranking(measured: Measured) -> tuple[str, NDArray[np.int64], NDArray[np.float64]]:
    """(metric, clip numbers from best to worst, their values) by the first repeat's LPIPS, SSIM or PSNR.

    Without any of them the metric is "" and the order that of the clips. Infinite values are the best PSNRs.
    """
    for metric in _RANKED_BY:
        if metric in measured.request.metrics:
            table = measured.clip_table(metric, 0)
            values = table.values.astype(np.float64).mean(axis=1)
            order = np.argsort(-values if convention(metric).higher_is_better else values, kind="stable")
            return metric, table.index[order], values[order]
    return "", np.arange(len(measured.reader)), np.zeros(len(measured.reader))


def values_by_clip(candidate: Candidate, measured: Measured, metric: str, repeat: int) -> dict[int, float]:
    """Clip number -> its value, the mean over frames of a curve; of a metric that is no Fréchet distance."""
    table = measured.clip_table(metric, repeat)
    values = table.values.astype(np.float64).reshape(len(table.index), -1).mean(axis=1)
    if metric.startswith("bits_per_dimension"):
        values = bits_per_dimension(values, candidate.latent_dimensions)
    return dict(zip(table.index.tolist(), values.tolist(), strict=True))


def _record(candidate: Candidate, measured: Measured, metric: str) -> Record:
    chosen, request = convention(metric), measured.request
    protocol = metric_protocol(candidate, measured, metric)
    model = candidate.identity(request.seed)
    repeats, true_sets = range(request.repeats), (REAL, SPARE) if len(measured.spare) else (REAL,)
    if chosen.pools_frames:
        whole, *spare = (f"{metric}/{part}" for part in true_sets)
        values = tuple(frame_sets.distance(measured.tables, whole, f"{metric}/{r}", _DDOF) for r in repeats)
        floor = frame_sets.floor(measured.tables, [whole, *spare], protocol.num_real, _DDOF)
        return Record(protocol, model, values, floor)
    if chosen.kind == "frechet":
        real = values_of(measured, metric, REAL)
        distances = [frechet_distance_of_table(metric, real, values_of(measured, metric, r), _DDOF) for r in repeats]
        true = np.concatenate([values_of(measured, metric, part) for part in true_sets])
        floor = real_floor(lambda a, b: frechet_distance_of_table(metric, a, b, _DDOF)[0], true, len(real))
        curves = [curve for _, curve in distances]
        return Record(protocol, model, tuple(value for value, _ in distances), floor, _mean_curve(curves))
    rows = [values_of(measured, metric, repeat) for repeat in repeats]
    if metric.startswith("bits_per_dimension"):
        rows = [bits_per_dimension(nats, candidate.latent_dimensions) for nats in rows]
    curves = [row.mean(axis=0) for row in rows] if chosen.kind == "paired" else []
    return Record(protocol, model, tuple(float(row.mean()) for row in rows), None, _mean_curve(curves))


def _mean_curve(curves: Sequence[NDArray[np.float64]]) -> tuple[float, ...]:
    return tuple(np.mean(curves, axis=0).tolist()) if curves else ()


def metric_protocol(candidate: Candidate, measured: Measured, metric: str) -> MetricProtocol:
    """All that makes the number what it is."""
    chosen, request, listed = convention(metric), measured.request, measured.reader.listed
    protocol, count = request.protocol, measured.scored_clips(metric)
    return MetricProtocol(
        metric=metric,
        version=chosen.version,
        backbone=chosen.backbone,
        backbone_sha256=measured.weights_sha256.get(metric, NO_WEIGHTS),
        layer=chosen.layer,
        precision="float32",
        input_range=chosen.input_range,
        input_dtype=scoring.input_dtype(metric, protocol),
        resize_kernel=chosen.resize_kernel,
        resize_corners=chosen.resize_corners,
        resize=chosen.resize,
        protocol=f"{protocol.name}, first {request.clips} clips" if request.clips else protocol.name,
        pairing="; ".join(filter(None, (scoring.pairing(metric, protocol), candidate.condition))),
        frames=scoring.scored_frames(metric, protocol),
        stride=protocol.stride,
        start_rule=protocol.starts,
        start_frame_scored=scoring.sees_start_frame(metric, protocol),
        size=candidate.synthesizer.size,
        num_real=count,
        num_generated=0 if chosen.kind == "likelihood" else count,
        samples_per_condition=SAMPLES if chosen.kind == "diversity" else 1,
        dropped=scoring.available_clips(metric, protocol, len(listed)) - count,
        distinct_clips=listed.distinct(count),
        videos_too_short=len(listed.too_short),
        data=candidate.data_name,
        split=request.split,
        clip_list_sha256=listed.sha256,
        covariance_ddof=_DDOF if chosen.kind == "frechet" else None,
        matrix_square_root=TRACE_METHOD if chosen.kind == "frechet" else "none",
    )
