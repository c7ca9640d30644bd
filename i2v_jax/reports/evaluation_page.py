"""What an evaluation leaves behind: records, a table, curves as pictures, and a page of samples next to the truth."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from i2v_jax import charts, files, media
from i2v_jax.errors import UserError
from i2v_jax.evaluation.evaluated_model import Candidate
from i2v_jax.evaluation.measure import Measured
from i2v_jax.evaluation.nearest import Nearest, nearest_training_clips
from i2v_jax.evaluation.records import Record, read_records, replaced, write_records
from i2v_jax.evaluation.results import ranking, values_by_clip
from i2v_jax.metrics.conventions import convention
from i2v_jax.reports import tables
from i2v_jax.reports.exhibits import Exhibits, Figure
from i2v_jax.reports.page import Number, Part, Section, render

Floats = NDArray[np.floating]


def write_numbers(folder: pathlib.Path, records: Sequence[Record]) -> str:
    """Adds records to `metrics.json` and `metrics.md`, and draws one `curve_METRIC.png` for each of their curves.

    Earlier records stay, but for those of the same protocol and model.

    Returns:
        The table of these records as Markdown.

    Raises:
        UserError: a file cannot be written, or `metrics.json` is there and cannot be read.
    """
    together = replaced(earlier_records(folder), records)
    write_records(folder / "metrics.json", together)
    files.write_text(folder / "metrics.md", tables.result_table(together).markdown() + "\n")
    for record in records:
        if len(record.curve) > 1:
            media.write_png(folder / f"curve_{record.protocol.metric}.png", _curve(record))
    return tables.result_table(records).markdown()


def earlier_records(folder: pathlib.Path) -> tuple[Record, ...]:
    """Those of earlier evaluations into the same folder. Raises UserError when they cannot be read."""
    path = folder / "metrics.json"
    if not path.is_file():
        return ()
    try:
        return read_records(path)
    except UserError as error:
        raise UserError(f"{error}; move that file away, or give another --out") from error


def write_clips(folder: pathlib.Path, candidate: Candidate, measured: Measured) -> pathlib.Path | None:
    """Writes what was measured of each clip as CSV, a row for each clip and repeat; None where there is no such metric.

    LPIPS, PSNR and SSIM are means over frames, log-likelihoods nats. The file is named by the evaluation's settings.

    Raises:
        UserError: it cannot be written.
    """
    metrics = [metric for metric in measured.request.metrics if convention(metric).kind != "frechet"]
    if not metrics:
        return None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "video", "start", "repeat", *metrics))
    for repeat in range(measured.request.repeats):
        columns = [values_by_clip(candidate, measured, metric, repeat) for metric in metrics]
        for number, clip in enumerate(measured.reader.listed.clips):
            cells = (f"{column[number]:.6g}" if number in column else "" for column in columns)
            writer.writerow((number, clip.video, clip.start, repeat, *cells))
    path = folder / f"clips-{measured.state.key}.csv"
    files.write_text(path, text.getvalue())
    return path


def write_page(
    folder: pathlib.Path,
    candidate: Candidate,
    measured: Measured,
    records: Sequence[Record],
    *,
    shown: int = 4,
    train_clips: int = 256,
    progress: bool = False,
) -> None:
    """Writes `index.html` and its clips.

    Args:
        folder: where `write_numbers` wrote.
        candidate, measured, records: what was evaluated.
        shown: clips among the best and among the worst.
        train_clips: that samples are compared with; 0: no such section.
        progress: bars for what takes long.

    Raises:
        UserError: a file cannot be written, or there is no training data.
    """
    exhibits = Exhibits(folder, candidate.synthesizer.size)
    shelves = _shelves(candidate, measured, shown)
    sections = [
        Section("Numbers", _NUMBERS, markup=tables.result_table(records).html()),
        Section("Curves", "Averages over clips of each frame's value.", _curves(records), columns=2),
        *(shelf.samples(exhibits, len(measured.reader)) for shelf in shelves),
    ]
    if train_clips:
        videos = np.concatenate([shelf.videos for shelf in shelves])
        nearest = nearest_training_clips(candidate, videos, limit=train_clips, progress=progress)
        names = [f"{shelf.name}_{number}" for shelf in shelves for number in shelf.numbers]
        sections.append(_nearest_section(exhibits, names, nearest))
    page = render(Part(f"Evaluation of {candidate.name}", _lead(measured), _tiles(records), sections, _FOOTER))
    files.write_text(folder / "index.html", page)


_NUMBERS = (
    "Real against real is the same distance between two disjoint sets of true clips, as many in each as the brackets "
    "say: what a perfect model gets at that number. Where it is half of the clips of the value, the split has no more, "
    "and a perfect model comes out below. Numbers of other hashes are measured otherwise and cannot be compared."
)
_FOOTER = (
    "All numbers with all that they depend on are in metrics.json. Samples are those that were measured: they depend "
    "on the seed and the clip's number alone."
)


def _lead(measured: Measured) -> str:
    request, reader = measured.request, measured.reader
    videos = len({clip.video for clip in reader.listed.clips})
    repeated = f", measured {request.repeats} times with other samples" if request.repeats > 1 else ""
    return (
        f"{len(reader)} clips of {videos} videos of the {request.split} split under protocol "
        f"{request.protocol.name}{repeated}."
    )


def _tiles(records: Sequence[Record]) -> list[Number]:
    return [
        Number(
            tables.value_text(record.protocol.metric, record.mean, record.std),
            tables.title(record.protocol.metric)
            + (f"; real against real {tables.floor_text(record)}" if record.floor else ""),
        )
        for record in records[:8]
    ]


def _curve(record: Record) -> media.Pixels:
    metric = record.protocol.metric
    points = [(frame, value) for frame, value in enumerate(record.curve, start=1)]
    return charts.line_chart({record.model.name: points}, tables.name(metric), "frame after the start frame")


def _curves(records: Sequence[Record]) -> list[Figure]:
    return [
        Figure(f"curve_{record.protocol.metric}.png", tables.title(record.protocol.metric), is_video=False)
        for record in records
        if len(record.curve) > 1
    ]


@dataclasses.dataclass(frozen=True)
class _Shelf:
    """Some clips and their samples: the best, the worst, or the first ones."""

    name: str
    order: str  # how they were chosen
    numbers: list[int]
    captions: list[str]  # of the truth
    scores: list[str]
    clips: Floats  # [N, 1 + T, H, W, 3]
    videos: Floats  # [N, 1 + T', H, W, 3]: start frames and samples

    def samples(self, exhibits: Exhibits, of: int) -> Section:
        """Truth above, samples below."""
        rows = [
            [
                exhibits.clip(f"{self.name}_{number}_{kind}", clip[0], clip[1:], caption)
                for number, clip, caption in zip(self.numbers, clips, captions, strict=True)
            ]
            for kind, clips, captions in (
                ("truth", self.clips[:, : self.videos.shape[1]], self.captions),
                ("sample", self.videos, self.scores),
            )
        ]
        text = f"The {self.name} {len(self.numbers)} of {of} clips{self.order}. Above the truth, below the sample."
        return Section(f"{self.name.capitalize()} samples", text, [*rows[0], *rows[1]], columns=len(self.numbers))


def _shelves(candidate: Candidate, measured: Measured, shown: int) -> list[_Shelf]:
    metric, order, values = ranking(measured)
    count = min(shown, len(order) // 2)
    parts = {"best": slice(0, count), "worst": slice(len(order) - count, None)} if metric else {"first": slice(count)}
    title = convention(metric).title if metric else ""
    shelves, frames = [], max(measured.request.protocol.frames, candidate.latent_frames)
    for name, chosen in parts.items():
        numbers = order[chosen].tolist()
        clips, listed = measured.reader.read(numbers), [measured.reader.clip(number) for number in numbers]
        samples = candidate.sample(clips, numbers, measured.request.seed, 1, frames)[:, 0]
        shelves.append(
            _Shelf(
                name,
                f" by {title}, from best to worst" if metric else "",
                numbers,
                [f"truth: {clip.video}, frame {clip.start}" for clip in listed],
                [f"sample: {title} {value:.3f}" if metric else "sample" for value in values[chosen]],
                clips["video"],
                np.concatenate([clips["video"][:, :1], samples], axis=1),
            )
        )
    return shelves


def _nearest_section(exhibits: Exhibits, names: list[str], nearest: Nearest) -> Section:
    """One row for each sample: itself, and the two clips that are nearest to it."""
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
        f"Samples, and the nearest of {len(nearest.reader)} training clips: by the Euclidean distance of the encoder's "
        "latents, and by the root mean square of pixels in [-1, 1]. A copy would have a distance of zero."
    )
    return Section("Nearest training clips", text, figures, columns=6 if len(names) % 2 == 0 else 3)
