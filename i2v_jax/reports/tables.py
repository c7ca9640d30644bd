"""Tables of results, as Markdown and as HTML."""

import dataclasses
import html
from collections.abc import Sequence

from i2v_jax.evaluation.records import Record
from i2v_jax.metrics.conventions import convention


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of text; `printed` are the numbers of rows that come from papers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    printed: frozenset[int] = frozenset()

    def markdown(self) -> str:
        lines = [self.header, ("---",) + ("--:",) * (len(self.header) - 1), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

    def html(self) -> str:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = []
        for number, row in enumerate(self.rows):
            kind = ' class="printed"' if number in self.printed else ""
            body.append(f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
        return f'<div class="wide"><table><tr>{head}</tr>\n' + "\n".join(body) + "</table></div>"


def name(metric: str) -> str:
    """A metric and the factor by which it is printed, for charts, whose font has no arrows."""
    chosen = convention(metric)
    times = f" x {chosen.printed_times:g}" if chosen.printed_times != 1 else ""
    return f"{chosen.title}{times}"


def title(metric: str) -> str:
    """A metric with the arrow of what is better."""
    return f"{name(metric)} {'↑' if convention(metric).higher_is_better else '↓'}"


def value_text(metric: str, mean: float, std: float | None = None) -> str:
    """A number as papers print it, with its deviation over repeats."""
    times = convention(metric).printed_times
    spread = "" if std is None else f" ± {_digits(std * times)}"
    return _digits(mean * times) + spread


def printed_text(value: float) -> str:
    """A number from a paper, which is multiplied already."""
    return f"{value:g}"


def result_table(records: Sequence[Record]) -> Table:
    """One row for each record."""
    header = (
        "metric", "value", "real against real", "clips", "frames", "samples", "backbone", "resize", "protocol",
        "model", "hash",
    )  # fmt: skip
    return Table(header, tuple(map(_result_row, records)))


def _result_row(record: Record) -> tuple[str, ...]:
    protocol = record.protocol
    dropped = f" ({protocol.dropped} dropped)" if protocol.dropped else ""
    return (
        title(protocol.metric),
        value_text(protocol.metric, record.mean, record.std),
        floor_text(record),
        f"{protocol.num_real}{dropped}",
        str(protocol.frames),
        str(protocol.samples_per_condition),
        "none" if protocol.backbone == "none" else f"{protocol.backbone}, {protocol.layer}",
        f"{protocol.resize}, {protocol.resize_corners}" if protocol.resize else "none",
        f"{protocol.protocol}, {protocol.split} ({protocol.pairing})",
        record.model.label,
        protocol.sha256[:12],
    )


def floor_text(record: Record) -> str:
    """The floor with the number of clips in each half; empty where the metric has none."""
    if record.floor is None:
        return ""
    floor = value_text(record.protocol.metric, record.floor.mean, record.floor.std)
    return f"{floor} ({record.floor.clips} against {record.floor.clips})"


def _digits(number: float) -> str:
    return f"{number:.1f}" if abs(number) >= 100 else f"{number:.2f}" if abs(number) >= 1 else f"{number:.3f}"
