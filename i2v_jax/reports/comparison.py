"""Several evaluations side by side: only results with the same protocol hash share a column."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from i2v_jax import bundle, charts, files, sweeps
from i2v_jax.commands import command
from i2v_jax.data.protocol import POKE
from i2v_jax.errors import UserError
from i2v_jax.evaluation import scoring
from i2v_jax.evaluation.protocols import get_protocol, protocols
from i2v_jax.evaluation.published import published
from i2v_jax.evaluation.records import MetricProtocol, Record, check_same_protocol, read_records
from i2v_jax.metrics.registry import get_metric
from i2v_jax.reports import tables
from i2v_jax.reports.page import Part, Section, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Chart

# Results that differ in one of these fields were measured on different clips: they get separate tables.
_SETTING = ("data", "split", "size", "protocol", "stride", "start_rule", "clip_list_sha256")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Results on the same clips: one row per model, one column per protocol hash."""

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
        """The first record of every hash, with the hashes of one metric next to each other."""
        first: dict[str, dict[str, Record]] = {}
        for record in self.records:
            first.setdefault(record.protocol.metric, {}).setdefault(record.protocol.sha256, record)
        return tuple(record for hashes in first.values() for record in hashes.values())

    @property
    def separated(self) -> tuple[str, ...]:
        """The reasons why a metric has several columns: the fields that differ."""
        return tuple(
            reason
            for one, other in itertools.pairwise(self.columns)
            if one.protocol.metric == other.protocol.metric
            for reason in differences(one, other)
        )

    def table(self) -> tables.Table:
        """Returns our rows, the distance between real clips, and what papers print for this data, size and protocol."""
        columns = self.columns
        ours = [(name, [self._cell(name, column) for column in columns]) for name in self._names()]
        floors = [tables.floor_text(column) for column in columns]
        if any(floors):
            ours.append(("real vs. real", floors))
        printed = _printed_rows([column.protocol for column in columns])
        header = ("model", *(f"{tables.title(c.protocol.metric)} [{c.protocol.sha256[:6]}]" for c in columns))
        rows = tuple((name, *cells) for name, cells in [*ours, *printed])
        return tables.Table(header, rows, frozenset(range(len(ours), len(rows))))

    def curves(self) -> dict[str, "Chart"]:
        """Returns a chart for each column with values over time, by file name."""
        drawn = {}
        for column in self.columns:
            lines = {
                record.model.label: list(enumerate(record.curve, start=1))
                for record in self.records
                if record.protocol == column.protocol
            }
            if len(column.curve) > 1:
                name = f"curve_{column.protocol.metric}_{column.protocol.sha256[:6]}.png"
                label = tables.name(column.protocol.metric)
                drawn[name] = charts.line_chart(lines, label, "frame (the start frame is 0)", label)
        return drawn

    def _names(self) -> list[str]:
        return list(dict.fromkeys(record.model.label for record in self.records))

    def _cell(self, name: str, column: Record) -> str:
        for record in self.records:
            if record.protocol == column.protocol and record.model.label == name:
                return tables.value_text(record.protocol.metric, record.mean, record.std)
        return ""


def read_runs(folders: Sequence[str]) -> tuple[Record, ...]:
    """Returns the records of work directories (all their evaluations) or of folders that hold a metrics.json.

    Of a sweep, these are the records of those of its runs that were evaluated; of a model's file, those on its card.

    Raises:
        UserError: a folder or a card holds no records.
    """
    found = [record for folder in folders if bundle.is_bundle(folder) for record in _on_card(folder)]
    folders = [folder for folder in folders if not bundle.is_bundle(folder)]
    of_sweeps = [str(run.workdir(folder)) for folder in folders for run in sweeps.read(folder)]
    for folder in map(files.location, [*folders, *of_sweeps]):
        places = [folder / "metrics.json", *sorted(folder.glob("evaluations/*/metrics.json"))]
        places = [place for place in places if place.is_file()]
        if not places and not sweeps.read(folder) and str(folder) not in of_sweeps:
            raise UserError(f"{folder} holds no evaluation; run {command('evaluate', f'--workdir={folder}')}")
        found += [record for place in places for record in read_records(place)]
    return tuple(found)


def _on_card(path: str) -> list[Record]:
    card = bundle.read_card(path)
    if not card.metrics:
        raise UserError(
            f"the card of {path} holds no evaluation: run {command('evaluate', '--workdir=RUN')}, then "
            f"{command('bundle', '--workdir=RUN', f'--out={path}')}",
            "run",
            path,
        )
    return [Record.from_json(metric) for metric in card.metrics]


def compare_runs(records: Sequence[Record]) -> tuple[Comparison, ...]:
    """Returns one comparison per set of clips. Raises UserError when a model has two results with the same hash."""
    groups: dict[tuple[object, ...], list[Record]] = {}
    seen: set[tuple[str, str]] = set()
    for record in records:
        key = (record.model.label, record.protocol.sha256)
        if key in seen:
            raise UserError(
                f"two results of {key[0]} for {record.protocol.metric}; rename one model with --name, or delete one"
            )
        seen.add(key)
        groups.setdefault(tuple(getattr(record.protocol, field) for field in _SETTING), []).append(record)
    return tuple(Comparison(tuple(group)) for group in groups.values())


def differences(one: Record, other: Record) -> tuple[str, ...]:
    """Returns one line that says why two results cannot be compared, or nothing if they can."""
    try:
        check_same_protocol((one, other))
    except UserError as error:
        return (f"{tables.title(one.protocol.metric)}: {error}.",)
    return ()


def write_comparison(
    comparisons: Sequence[Comparison], folder: pathlib.Path, extra: Mapping[str, tables.Table] | None = None
) -> str:
    """Writes `comparison.md`, `index.html` and charts, and returns the Markdown. Raises UserError when it cannot.

    `extra` are tables by title, which come first.
    """
    parts = [f"## {title}\n\n{table.markdown()}" for title, table in (extra or {}).items()]
    sections = [Section(title, "", before=table.html()) for title, table in (extra or {}).items()]
    reasons = _reasons(comparisons)
    for comparison in comparisons:
        table, notes = comparison.table(), " ".join(comparison.separated)
        parts.append("\n\n".join(filter(None, (f"## {comparison.title}", table.markdown(), notes))))
        drawn = comparison.curves()
        for name, chart in drawn.items():
            files.write_bytes(folder / name, charts.png(chart))
        sections.append(
            Section(comparison.title, notes, before=table.html(), charts=list(map(charts.svg, drawn.values())))
        )
    if reasons:
        parts.append("## Why there are several tables\n\n" + "\n".join(f"- {reason}" for reason in reasons))
        sections.append(Section("Why there are several tables", " ".join(reasons)))
    text = "\n\n".join(parts) + "\n"
    files.write_text(folder / "comparison.md", text)
    files.write_text(folder / "index.html", render(Part("Comparison", _LEAD, (), sections, _FOOTER)))
    return text


_LEAD = (
    "Each column holds the results of one protocol hash, shown in brackets: same clips, backbone, resizing and pairing."
)
_FOOTER = (
    "Gray rows come from papers: same data, frame size and protocol, on test clips, paired as in the authors' scripts. "
    "Papers give no hash and no deviation."
)


def _reasons(comparisons: Sequence[Comparison]) -> list[str]:
    """Returns why there are several tables, by the first metric that neighboring tables share."""
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
    """Returns whether a column was measured as in papers: on test clips, with the authors' pairing and control."""
    pairing, _, condition = column.pairing.partition("; ")
    return (
        column.protocol in protocols()
        and column.split == "test"
        and pairing == scoring.pairing(get_metric(column.metric), get_protocol(column.protocol, release_quirks=True))
        and bool(condition) == (column.protocol == POKE.name)
    )
