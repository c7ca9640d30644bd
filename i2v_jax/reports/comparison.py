"""Several evaluations side by side: only numbers of one protocol hash share a column."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

from i2v_jax import charts, files, media
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.evaluation import scoring
from i2v_jax.evaluation.protocols import PROTOCOLS, get_protocol
from i2v_jax.evaluation.published import published
from i2v_jax.evaluation.records import MetricProtocol, Record, check_same_protocol, read_records
from i2v_jax.reports import tables
from i2v_jax.reports.exhibits import Figure
from i2v_jax.reports.page import Part, Section, render

# Clips that differ in one of these are other clips: their numbers get a table of their own.
_SETTING = ("data", "split", "size", "protocol", "stride", "start_rule", "clip_list_sha256")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All results on the same clips: a row for each model, a column for each metric under one hash."""

    records: tuple[Record, ...]

    @property
    def setting(self) -> MetricProtocol:
        return self.records[0].protocol

    @property
    def title(self) -> str:
        setting = self.setting
        return f"{setting.data}, {setting.size}x{setting.size}, protocol {setting.protocol}, {setting.split} split"

    @property
    def columns(self) -> tuple[Record, ...]:
        """The first record of every hash, the hashes of one metric next to each other."""
        first: dict[str, dict[str, Record]] = {}
        for record in self.records:
            first.setdefault(record.protocol.metric, {}).setdefault(record.protocol.sha256, record)
        return tuple(record for hashes in first.values() for record in hashes.values())

    @property
    def separated(self) -> tuple[str, ...]:
        """Why a metric has several columns: the fields that differ."""
        return tuple(
            reason
            for one, other in itertools.pairwise(self.columns)
            if one.protocol.metric == other.protocol.metric
            for reason in differences(one, other)
        )

    def table(self) -> tables.Table:
        """Our rows, the floor, and what papers printed for this data, size and protocol."""
        columns = self.columns
        ours = [(name, [self._cell(name, column) for column in columns]) for name in self._names()]
        floors = [tables.floor_text(column) for column in columns]
        if any(floors):
            ours.append(("real against real", floors))
        printed = _printed_rows([column.protocol for column in columns])
        header = ("model", *(f"{tables.title(c.protocol.metric)} [{c.protocol.sha256[:6]}]" for c in columns))
        rows = tuple((name, *cells) for name, cells in [*ours, *printed])
        return tables.Table(header, rows, frozenset(range(len(ours), len(rows))))

    def curves(self) -> dict[str, media.Pixels]:
        """A chart for each column with values over time: file name -> picture."""
        pictures = {}
        for column in self.columns:
            lines = {
                record.model.label: list(enumerate(record.curve, start=1))
                for record in self.records
                if record.protocol == column.protocol
            }
            if len(column.curve) > 1:
                name = f"curve_{column.protocol.metric}_{column.protocol.sha256[:6]}.png"
                title = tables.name(column.protocol.metric)
                pictures[name] = charts.line_chart(lines, title, "frame after the start frame")
        return pictures

    def _names(self) -> list[str]:
        return list(dict.fromkeys(record.model.label for record in self.records))

    def _cell(self, name: str, column: Record) -> str:
        for record in self.records:
            if record.protocol == column.protocol and record.model.label == name:
                return tables.value_text(record.protocol.metric, record.mean, record.std)
        return ""


def read_runs(folders: Sequence[str]) -> tuple[Record, ...]:
    """The records of work directories (all their evaluations) or of folders that hold a metrics.json.

    Raises:
        UserError: a folder holds none.
    """
    found: list[Record] = []
    for folder in map(pathlib.Path, folders):
        files = [folder / "metrics.json", *sorted(folder.glob("evaluations/*/metrics.json"))]
        files = [file for file in files if file.is_file()]
        if not files:
            raise UserError(f"{folder} holds no evaluation: run {command('evaluate', f'--workdir={folder}')}")
        found += [record for file in files for record in read_records(file)]
    return tuple(found)


def compare_runs(records: Sequence[Record]) -> tuple[Comparison, ...]:
    """One comparison for each set of clips. Raises UserError when one model has two results under one hash."""
    groups: dict[tuple[object, ...], list[Record]] = {}
    seen: set[tuple[str, str]] = set()
    for record in records:
        key = (record.model.label, record.protocol.sha256)
        if key in seen:
            raise UserError(
                f"two results of {key[0]} for {record.protocol.metric}: give one another --name, or delete it"
            )
        seen.add(key)
        groups.setdefault(tuple(getattr(record.protocol, field) for field in _SETTING), []).append(record)
    return tuple(Comparison(tuple(group)) for group in groups.values())


def differences(one: Record, other: Record) -> tuple[str, ...]:
    """The line that says why two results cannot be compared, if they cannot."""
    try:
        check_same_protocol((one, other))
    except UserError as error:
        return (f"{tables.title(one.protocol.metric)}: {error}.",)
    return ()


def write_comparison(comparisons: Sequence[Comparison], folder: pathlib.Path) -> str:
    """Writes `comparison.md`, `index.html` and curves; returns the Markdown. Raises UserError when it cannot."""
    parts, sections = [], []
    reasons = _reasons(comparisons)
    for comparison in comparisons:
        table, notes = comparison.table(), " ".join(comparison.separated)
        parts.append("\n\n".join(filter(None, (f"## {comparison.title}", table.markdown(), notes))))
        figures = []
        for name, picture in comparison.curves().items():
            media.write_png(folder / name, picture)
            figures.append(Figure(name, "values over time, mean over clips", is_video=False))
        sections.append(Section(comparison.title, notes, figures, columns=2, before=table.html()))
    if reasons:
        parts.append("## Not in one table\n\n" + "\n".join(f"- {reason}" for reason in reasons))
        sections.append(Section("Not in one table", " ".join(reasons)))
    text = "\n\n".join(parts) + "\n"
    files.write_text(folder / "comparison.md", text)
    files.write_text(folder / "index.html", render(Part("Comparison", _LEAD, (), sections, _FOOTER)))
    return text


_LEAD = (
    "Each column holds numbers of one protocol hash, shown in brackets: the same clips, backbone, resizing and pairing."
)
_FOOTER = (
    "Gray rows are printed in papers: same data, frame size and protocol by name, on test clips, and paired as the "
    "authors' scripts pair them. They come without hash, floor and deviation."
)


def _reasons(comparisons: Sequence[Comparison]) -> list[str]:
    """Why there are several tables, by the first metric that each two neighbors share."""
    found: list[str] = []
    for one, other in itertools.pairwise(comparisons):
        by_metric = {record.protocol.metric: record for record in one.columns}
        shared = [record for record in other.columns if record.protocol.metric in by_metric]
        if shared:
            found += differences(by_metric[shared[0].protocol.metric], shared[0])
    return found


def _printed_rows(columns: Sequence[MetricProtocol]) -> list[tuple[str, list[str]]]:
    by_method: dict[str, list[str]] = {}
    for number, column in enumerate(columns):
        if not _as_printed(column):
            continue
        for row in published(column.data, metric=column.metric, size=column.size, protocol=column.protocol):
            cells = by_method.setdefault(f"{row.method} [{row.source}]", [""] * len(columns))
            cells[number] = tables.printed_text(row.value)
    return list(by_method.items())


def _as_printed(column: MetricProtocol) -> bool:
    """Of test clips, paired as the authors' scripts do, and told nothing but the poke of the poke model's protocol."""
    pairing, _, told = column.pairing.partition("; ")
    return (
        column.protocol in PROTOCOLS
        and column.split == "test"
        and pairing == scoring.pairing(column.metric, get_protocol(column.protocol, release_quirks=True))
        and bool(told) == (column.protocol == "poke")
    )
