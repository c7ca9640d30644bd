"""The files of an evaluation: records, a table, curves, and a page of samples next to the truth."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from i2v_jax import charts, files
from i2v_jax.errors import UserError
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
from i2v_jax.evaluation.measure import Measured
from i2v_jax.evaluation.nearest import Nearest, nearest_training_clips
from i2v_jax.evaluation.records import Record, read_records, replaced, write_records
from i2v_jax.evaluation.results import ranking, values_by_clip
from i2v_jax.metrics.base import Reads
from i2v_jax.metrics.registry import get_metric
from i2v_jax.reports import tables
from i2v_jax.reports.exhibits import Exhibits
from i2v_jax.reports.page import Figure, Number, Part, Section, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Chart

Floats = NDArray[np.floating]


def write_numbers(folder: pathlib.Path, records: Sequence[Record]) -> str:
    """Adds records to `metrics.json` and `metrics.md`, and draws `curve_METRIC.png` for each record with a curve.

    Earlier records are kept, except those of the same protocol and model.

    Returns:
        The table of the new records as Markdown.

    Raises:
        UserError: a file cannot be written, or the existing `metrics.json` cannot be read.
    """
    together = replaced(earlier_records(folder), records)
    write_records(folder / "metrics.json", together)
    files.write_text(folder / "metrics.md", tables.result_table(together).markdown() + "\n")
    for record in records:
        if len(record.curve) > 1:
            files.write_bytes(folder / f"curve_{record.protocol.metric}.png", charts.png(_curve(record)))
    return tables.result_table(records).markdown()


def earlier_records(folder: pathlib.Path) -> tuple[Record, ...]:
    """Returns the records already in the folder. Raises UserError when they cannot be read."""
    path = folder / "metrics.json"
    if not path.is_file():
        return ()
    try:
        return read_records(path)
    except UserError as error:
        raise UserError(f"{error}; move that file away, or choose another folder with --out") from error


def write_clips(folder: pathlib.Path, model: EvaluatedModel, measured: Measured) -> pathlib.Path | None:
    """Writes the values of each clip as CSV, one row per clip and repeat.

    LPIPS, PSNR and SSIM are means over frames; log-likelihoods are in nats. The file name depends on the evaluation's
    settings.

    Returns:
        The path, or None when only Fréchet distances were measured, which have no value per clip.

    Raises:
        UserError: the file cannot be written.
    """
    metrics = [metric for metric in measured.request.metrics if get_metric(metric).reads is not Reads.SETS]
    if not metrics:
        return None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "video", "start", "repeat", *metrics))
    for repeat in range(measured.request.repeats):
        columns = [values_by_clip(model, measured, metric, repeat) for metric in metrics]
        for number, clip in enumerate(measured.reader.listed.clips):
            cells = (f"{column[number]:.6g}" if number in column else "" for column in columns)
            writer.writerow((number, clip.video, clip.start, repeat, *cells))
    path = folder / f"clips-{measured.state.key}.csv"
    files.write_text(path, text.getvalue())
    return path


def write_page(
    folder: pathlib.Path,
    model: EvaluatedModel,
    measured: Measured,
    records: Sequence[Record],
    *,
    shown: int = 4,
    train_clips: int = 256,
    progress: bool = False,
) -> None:
    """Writes `index.html` and its clips.

    Args:
        folder: the folder of the evaluation.
        model, measured, records: the model, its measurements and the results.
        shown: how many of the best and of the worst clips to show.
        train_clips: how many training clips to compare samples with; 0 leaves that section out.
        progress: whether to show progress bars.

    Raises:
        UserError: a file cannot be written, or there is no training data.
    """
    exhibits = Exhibits(folder, model.generator.size)
    groups, curves = _groups(model, measured, shown), _curves(records)
    sections = [
        Section(
            "Results",
            _explanation(records),
            before=tables.shared_details(records) + tables.metric_table(records).html(),
        ),
        *([Section("Values by frame", "Means over all clips.", charts=curves)] if curves else ()),
        *(group.samples(exhibits, len(measured.reader)) for group in groups),
    ]
    if train_clips:
        videos = np.concatenate([group.videos for group in groups])
        nearest = nearest_training_clips(model, videos, limit=train_clips, progress=progress)
        names = [f"{group.name}_{number}" for group in groups for number in group.example_ids]
        sections.append(_nearest_section(exhibits, names, nearest))
    page = render(Part(f"Evaluation of {model.name}", _lead(measured), _tiles(records), sections, _FOOTER))
    files.write_text(folder / "index.html", page)


_FOOTER = (
    "metrics.json holds every value with everything that it depends on. The samples shown are the ones that were "
    "measured; they depend only on the seed and the number of the clip."
)


def _lead(measured: Measured) -> str:
    request, reader = measured.request, measured.reader
    videos = len({clip.video for clip in reader.listed.clips})
    repeated = f", measured {request.repeats} times with other samples" if request.repeats > 1 else ""
    return (
        f"Measured on {len(reader)} clips from {videos} videos of the {request.split} split, with the protocol "
        f"“{request.protocol.name}”{repeated}."
    )


def _explanation(records: Sequence[Record]) -> str:
    floors = dict.fromkeys(record.floor.description for record in records if record.floor)
    metrics = dict.fromkeys(get_metric(record.protocol.metric) for record in records)
    return " ".join(
        (
            "An arrow points towards better values. Two values can be compared only if their hashes are equal.",
            *(f"Real vs. real: {floor}" for floor in floors),
            *(f"{metric.title}: {metric.full_name}." for metric in metrics),
        )
    )


def _tiles(records: Sequence[Record]) -> list[Number]:
    return [
        Number(
            tables.value_text(record.protocol.metric, record.mean, record.std),
            tables.title(record.protocol.metric)
            + (f"; real vs. real {tables.floor_text(record)}" if record.floor else ""),
        )
        for record in records[:8]
    ]


def _curve(record: Record) -> "Chart":
    metric = record.protocol.metric
    points = [(frame, value) for frame, value in enumerate(record.curve, start=1)]
    label = tables.name(metric)
    return charts.line_chart({record.model.name: points}, label, "frame (the start frame is 0)", label)


def _curves(records: Sequence[Record]) -> list[str]:
    return [charts.svg(_curve(record)) for record in records if len(record.curve) > 1]


@dataclasses.dataclass(frozen=True)
class _SampleGroup:
    """A group of clips and their samples: the best, the worst or the first ones."""

    name: str
    order: str  # how they were chosen, for the page
    example_ids: list[int]
    captions: list[str]  # of the true clips
    scores: list[str]  # captions of the samples
    clips: Floats  # [N, 1 + T, H, W, 3]
    videos: Floats  # [N, 1 + T', H, W, 3]: start frames and samples

    def samples(self, exhibits: Exhibits, of: int) -> Section:
        """Returns the true clips in one row and the samples below them."""
        rows = [
            [
                exhibits.clip(f"{self.name}_{number}_{kind}", clip[0], clip[1:], caption)
                for number, clip, caption in zip(self.example_ids, clips, captions, strict=True)
            ]
            for kind, clips, captions in (
                ("truth", self.clips[:, : self.videos.shape[1]], self.captions),
                ("sample", self.videos, self.scores),
            )
        ]
        text = f"The {self.name} {len(self.example_ids)} of {of} clips{self.order}. Top: true clips. Bottom: samples."
        return Section(f"{self.name.capitalize()} samples", text, [*rows[0], *rows[1]], columns=len(self.example_ids))


def _groups(model: EvaluatedModel, measured: Measured, shown: int) -> list[_SampleGroup]:
    metric, order, values = ranking(measured)
    count = min(shown, len(order) // 2)
    parts = {"best": slice(0, count), "worst": slice(len(order) - count, None)} if metric else {"first": slice(count)}
    title = get_metric(metric).title if metric else ""
    groups, frames = [], max(measured.request.protocol.frames, model.feature_frames)
    for name, chosen in parts.items():
        example_ids = order[chosen].tolist()
        clips = measured.reader.read(example_ids)
        listed = [measured.reader.clip(example_id) for example_id in example_ids]
        samples = model.sample(clips, example_ids, measured.request.seed, 1, frames)[:, 0]
        groups.append(
            _SampleGroup(
                name,
                f" by {title}, from best to worst" if metric else "",
                example_ids,
                [f"truth: {clip.video}, frame {clip.start}" for clip in listed],
                [f"sample: {title} {value:.3f}" if metric else "sample" for value in values[chosen]],
                clips["video"],
                np.concatenate([clips["video"][:, :1], samples], axis=1),
            )
        )
    return groups


def _nearest_section(exhibits: Exhibits, names: list[str], nearest: Nearest) -> Section:
    """Returns each sample next to its two nearest training clips."""
    by_latent, by_pixels = (
        nearest.reader.read(found.tolist())["video"] for found in (nearest.by_latent, nearest.by_pixels)
    )
    figures: list[Figure] = []
    for row, name in enumerate(names):
        latent, pixels = nearest.latent_distance[row], nearest.pixel_distance[row]
        figures += [
            Figure(f"{name}_sample.mp4", "sample"),
            exhibits.clip(
                f"{name}_near_latent", by_latent[row, 0], by_latent[row, 1:], f"latent distance {latent:.3g}"
            ),
            exhibits.clip(f"{name}_near_pixels", by_pixels[row, 0], by_pixels[row, 1:], f"pixel distance {pixels:.3g}"),
        ]
    text = (
        f"Each sample is followed by the nearest of {len(nearest.reader)} training clips in two distances: the "
        "Euclidean distance between latents of the encoder, and the root mean square difference of pixels in [-1, 1]. "
        "A copy would have a distance of zero."
    )
    return Section("Nearest training clips", text, figures, columns=6 if len(names) % 2 == 0 else 3)
