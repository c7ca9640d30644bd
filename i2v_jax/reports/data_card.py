"""The data card of a prepared data set: what it holds, how it is stored, what was skipped, and how it looks."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from i2v_jax import charts, files, media
from i2v_jax.data import duplicates, shards, sidecars
from i2v_jax.data.data_set import PreparedDataSet
from i2v_jax.data.expected import Row, compare
from i2v_jax.data.staging import StoredVideo
from i2v_jax.input import flow, transforms
from i2v_jax.input.sources import SPLITS, RecordSource
from i2v_jax.reports.page import Figure, Number, Part, Section, Table, render

FILE = "card/index.html"  # in the folder of the data set
_CELLS, _COLUMNS, _CELL = 24, 8, 128  # of a contact sheet; pixels
_MEASURED = 120  # videos of a split whose motion is measured
_MOTION_FRAMES, _MOTION_SIZE = 10, 128
_REASONS = 20  # that are listed
_DUPLICATES = 200


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What was read of some videos of a split."""

    pictures: list[np.ndarray]  # uint8 [h, w, 3]
    sides: list[int]  # the shorter side of each
    motion: list[float]  # mean length of the flow over ten frames, in percent of the shorter side


def write_card(folder: Path, data_set: PreparedDataSet) -> Path:
    """Writes the card of the data set that was prepared into `folder`, and returns its path.

    Raises:
        UserError: the card cannot be written, or the data set not be read.
    """
    listing = json.loads((folder / "metadata.json").read_text())["videos"]
    splits = [split for split in SPLITS if split in listing]
    sources = {split: RecordSource(folder, split) for split in splits}
    measured = {split: _measure(source) for split, source in sources.items()}
    stored = [(split, video) for split, videos in shards.stored_videos(folder).items() for video in videos]
    skipped = json.loads((folder / "skipped.json").read_text())
    sheets = {split: f"contact_{split}.png" for split in splits}
    for split, name in sheets.items():
        files.write_bytes(folder / "card" / name, media.png_bytes(_contact_sheet(measured[split].pictures)))
    names = {split: [source.name(i) for i in range(len(source))] for split, source in sources.items()}
    frames = {split: [source.num_frames(i) for i in range(len(source))] for split, source in sources.items()}
    part = Part(
        title=data_set.name,
        lead=data_set.citation or "Videos of your own.",
        numbers=[
            *(Number(f"{len(names[split]):,}", f"videos in {split}") for split in splits),
            Number(f"{sum(map(sum, frames.values())):,}", "frames"),
            Number(f"{len(skipped):,}", "files and videos skipped"),
        ],
        sections=[
            _splits(sources, names, frames),
            *_comparison(compare(data_set.expected, names)),
            Section("Stored", f"Frames are stored as follows: {sources[splits[0]].storage}."),
            *_beside(folder, splits),
            *_notes(stored),
            *_duplicates(stored),
            _looks(sheets, measured),
            _histograms(frames, measured),
            _skipped(skipped),
            Section("License", f"{data_set.license[0].upper()}{data_set.license[1:]}."),
        ],
        footer=f"Motion: mean length of the optical flow over {_MOTION_FRAMES} frames from the middle of up to "
        f"{_MEASURED} videos of a split.",
    )
    files.write_text(folder / FILE, render(part))
    return folder / FILE


def list_sha256(names: Sequence[str]) -> str:
    """Returns the SHA-256 of a list of names, one a line."""
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode(errors="surrogateescape")).hexdigest()


def _measure(source: RecordSource) -> _Measured:
    """Reads two frames of some videos, spread evenly over the split."""
    measured = _Measured([], [], [])
    for video in np.linspace(0, len(source) - 1, min(len(source), _MEASURED)).round().astype(int).tolist():
        first = max(0, (source.num_frames(video) - _MOTION_FRAMES - 1) // 2)
        last = min(first + _MOTION_FRAMES, source.num_frames(video) - 1)
        pair = source.read(video, [first, last])
        height, width = pair.shape[1:3]
        scale = min(1.0, _MOTION_SIZE / min(height, width))
        small = [transforms.resize(frame, round(height * scale), round(width * scale)) for frame in pair]
        lengths = np.linalg.norm(flow.estimate(*small), axis=-1)
        measured.pictures.append(pair[0])
        measured.sides.append(min(height, width))
        measured.motion.append(100 * float(lengths.mean()) / min(small[0].shape[:2]))
    return measured


def _contact_sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Returns some pictures [h, w, 3] in rows, [H, W, 4], with the page seen through places without one."""
    chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), _CELLS)).round().astype(int)
    cells = np.stack([transforms.fit(pictures[i][None], _CELL, "center") for i in chosen])
    opaque = np.full_like(cells[..., :1], 255)
    return media.grid(np.concatenate([cells, opaque], axis=-1), _COLUMNS, background=0)[0]


def _splits(
    sources: Mapping[str, RecordSource], names: Mapping[str, list[str]], frames: Mapping[str, list[int]]
) -> Section:
    rows = tuple(
        (
            split,
            f"{len(names[split]):,}",
            f"{sum(frames[split]):,}",
            f"{min(frames[split])}, {int(np.median(frames[split]))}, {max(frames[split])}",
            f"{len({source.object_name(i) for i in range(len(source))}):,}",
            list_sha256(names[split]),
        )
        for split, source in sources.items()
    )
    header = ("split", "videos", "frames", "shortest, median, longest", "objects", "SHA-256 of the list of names")
    text = "The lists of names are in metadata.json; their hash is that of one name a line."
    if names.get("eval") == names.get("test") is not None:
        text += " The eval split is the test split."
    return Section("Splits", text, before=Table(header, rows).html())


def _comparison(rows: Sequence[Row]) -> list[Section]:
    if not rows:
        return []
    cells = tuple((row.what, f"{row.found:,}", row.expected, row.difference or "as published") for row in rows)
    table = Table(("", "here", "published", "difference"), cells)
    return [Section("Compared with the published data set", "", before=table.html())]


def _beside(folder: Path, splits: Sequence[str]) -> list[Section]:
    """Returns what flow and masks are stored, how they were made, and the previews of them."""
    rows = tuple(
        (
            _words(one.what),
            one.split,
            f"{one.videos:,}",
            f"{one.unusable:,}",
            " ".join(f"{name}={value}" for name, value in one.options.items()),
        )
        for one in sorted(sidecars.stored(folder), key=lambda one: (one.what, splits.index(one.split)))
    )
    figures = [
        Figure(f"../preview_{split}.png", f"{split}: pokes, flow and masks", is_video=False)
        for split in splits
        if (folder / f"preview_{split}.png").is_file()
    ]
    if not rows and not figures:
        return []
    table = Table(("", "split", "videos", "without motion", "made with"), rows).html() if rows else ""
    return [Section("Flow and masks", "What is stored for poking.", figures, before=table, columns=1)]


def _words(what: str) -> str:
    """Returns the words for the folder of a flow or of masks."""
    kind, _, distance = what.partition("/distance_")
    return f"{kind} over {int(distance)} frames" if distance else kind


def _notes(stored: Sequence[tuple[str, StoredVideo]]) -> list[Section]:
    """Returns what was done to videos so that they are as a player shows them."""
    notes = Counter(note for _, video in stored for note in video.notes)
    if not notes:
        return []
    rows = tuple((f"{count:,}", note) for note, count in notes.most_common())
    return [Section("Notes", "What was done to videos.", before=Table(("videos", ""), rows).html())]


def _duplicates(stored: Sequence[tuple[str, StoredVideo]]) -> list[Section]:
    """Returns which videos are there under several names."""
    same = duplicates.find(stored)
    if not same:
        return []
    rows = tuple(("different" if one.divided else "the same", "", str(one)) for one in same[:_DUPLICATES])
    more = f" {len(same) - _DUPLICATES:,} more are not listed." if len(same) > _DUPLICATES else ""
    text = f"{duplicates.summary(same)}: what is stored of them is the same.{more}"
    return [Section("Duplicates", text, before=Table(("splits", "", "videos"), rows).html())]


def _looks(sheets: Mapping[str, str], measured: Mapping[str, _Measured]) -> Section:
    figures = [
        Figure(name, f"{split}: {min(_CELLS, len(found.pictures))} of its videos", is_video=False)
        for (split, name), found in zip(sheets.items(), measured.values(), strict=True)
    ]
    return Section("Looks", "A frame of some videos, spread over each split, cropped to squares.", figures, columns=1)


def _histograms(frames: Mapping[str, list[int]], measured: Mapping[str, _Measured]) -> Section:
    lengths = charts.histogram(frames, "Lengths", "frames of a video", "videos")
    sides = {split: found.sides for split, found in measured.items()}
    motion = {split: found.motion for split, found in measured.items()}
    drawn = [
        lengths,
        charts.histogram(sides, "Sizes", "shorter side in pixels", "videos"),
        charts.histogram(motion, "Motion", "percent of the shorter side in ten frames", "videos"),
    ]
    return Section("Lengths, sizes and motion", "", charts=[charts.svg(figure) for figure in drawn])


def _skipped(skipped: Sequence[Mapping[str, str]]) -> Section:
    if not skipped:
        return Section("Skipped", "Nothing was skipped.")
    examples = {item["reason"]: item["path"] for item in reversed(skipped)}
    counts = Counter(item["reason"] for item in skipped).most_common(_REASONS)
    rows = tuple((f"{count:,}", reason, examples[reason]) for reason, count in counts)
    text = "What is not in the data set, and why. Everything is listed in skipped.json."
    return Section("Skipped", text, before=Table(("", "reason", "for example"), rows).html())
