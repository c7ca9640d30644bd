"""Tables of results, as Markdown and as HTML."""

import html
from collections.abc import Callable, Mapping, Sequence

from i2v_jax.evaluation.records import Record
from i2v_jax.metrics.registry import get_metric
from i2v_jax.reports.page import Table


def name(metric: str) -> str:
    """Returns a metric's name with its unit."""
    chosen = get_metric(metric)
    return f"{chosen.title} ({chosen.unit})" if chosen.unit else chosen.title


def title(metric: str) -> str:
    """Returns a metric's name and unit, the factor by which papers multiply it, and an arrow towards better values."""
    chosen = get_metric(metric)
    times = f" × {chosen.printed_times:g}" if chosen.printed_times != 1 else ""
    return f"{name(metric)}{times} {'↑' if chosen.higher_is_better else '↓'}"


def value_text(metric: str, mean: float, std: float | None = None) -> str:
    """Returns a value as papers print it, with its standard deviation over repeats."""
    times = get_metric(metric).printed_times
    spread = "" if std is None else f" ± {_digits(std * times)}"
    return _digits(mean * times) + spread


def printed_text(value: float) -> str:
    """Returns a value from a paper, which is multiplied already."""
    return f"{value:g}"


def result_table(records: Sequence[Record]) -> Table:
    """Returns one row for each record, with all that describes it."""
    header = ("metric", "value", "real vs. real", *_DETAILS, "hash")
    return Table(header, tuple(_row(record, tuple(_DETAILS)) for record in records))


def metric_table(records: Sequence[Record]) -> Table:
    """Returns one row for each record, without the details that all of them share and without empty columns."""
    different = tuple(detail for detail in _DETAILS if detail not in _shared(records))
    header = ("metric", "value", "real vs. real", *different, "hash")
    rows = [_row(record, different) for record in records]
    used = [number for number, _ in enumerate(header) if any(row[number] for row in rows)]
    return Table(_chosen(header, used), tuple(_chosen(row, used) for row in rows))


def _chosen(row: Sequence[str], columns: Sequence[int]) -> tuple[str, ...]:
    return tuple(row[column] for column in columns)


def shared_details(records: Sequence[Record]) -> str:
    """Returns the details that all records share as an HTML list."""
    rows = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in _shared(records).items())
    return f"<dl>{''.join(rows)}</dl>"


def _shared(records: Sequence[Record]) -> dict[str, str]:
    texts = {name: {text_of(record) for record in records} for name, text_of in _DETAILS.items()}
    return {name: text for name, (text, *others) in texts.items() if not others}


def _row(record: Record, details: Sequence[str]) -> tuple[str, ...]:
    return (
        title(record.protocol.metric),
        value_text(record.protocol.metric, record.mean, record.std),
        floor_text(record),
        *(_DETAILS[name](record) for name in details),
        record.protocol.sha256[:8],
    )


def _clips_text(record: Record) -> str:
    dropped = f" ({record.protocol.dropped} dropped)" if record.protocol.dropped else ""
    return f"{record.protocol.num_real}{dropped}"


def _backbone_text(record: Record) -> str:
    protocol = record.protocol
    if protocol.backbone == "none":
        return "none"
    resized = f", resized to {protocol.resize} ({protocol.resize_corners})" if protocol.resize else ""
    return f"{protocol.backbone}, {protocol.layer}{resized}"


_DETAILS: Mapping[str, Callable[[Record], str]] = {
    "model": lambda record: record.model.label,
    "data": lambda record: f"{record.protocol.data}, {record.protocol.size}x{record.protocol.size} pixels",
    "protocol": lambda record: f"{record.protocol.protocol}, {record.protocol.split} split",
    "pairing": lambda record: record.protocol.pairing,
    "clips": _clips_text,
    "frames": lambda record: str(record.protocol.frames),
    "samples per clip": lambda record: str(record.protocol.samples_per_condition),
    "backbone": _backbone_text,
}


def floor_text(record: Record) -> str:
    """Returns the distance between real clips and the size of each set; empty for metrics without one."""
    if record.floor is None:
        return ""
    floor = value_text(record.protocol.metric, record.floor.mean, record.floor.std)
    return f"{floor} ({record.floor.clips})"


def _digits(number: float) -> str:
    return f"{number:.1f}" if abs(number) >= 100 else f"{number:.2f}" if abs(number) >= 1 else f"{number:.3f}"
