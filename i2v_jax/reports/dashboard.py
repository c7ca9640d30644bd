"""A page about trainings, side by side: progress, curves, throughput, previews, configuration and events.

The page is one file that loads nothing: charts are inline SVG, previews are data URIs.
"""

import base64
import html
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from i2v_jax import charts, files
from i2v_jax.reports.page import Figure, Part, Section, Table, render
from i2v_jax.reports.training_logs import Run, StageLog, read_runs

_SYSTEM = "system/"
_HELD_OUT = "eval/"
_LEAD = "What the logs of the work directories say. Dotted lines in the charts are restarts."
_ABOUT_THROUGHPUT = (
    "Without compiling, evaluating, drawing previews and saving. FLOP are those of products and convolutions; their "
    "utilization is the share of the bfloat16 peak in the data sheet of the device, where it has one."
)


def _seconds(value: float) -> str:
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


_THROUGHPUT: dict[str, tuple[str, Callable[[float], str]]] = {  # name in the log -> title, text of a value
    "step_seconds": ("step time (s)", _seconds),
    "examples_per_second_per_device": ("examples per second and device", "{:.3g}".format),
    "mfu": ("model FLOP utilization", "{:.1%}".format),
    "teraflops": ("TFLOP/s per device", "{:.3g}".format),
    "data_wait": ("share of time waiting for data", "{:.1%}".format),
    "memory_peak_gib": ("peak device memory (GiB)", "{:.1f}".format),
    "save_seconds": ("save time (s)", _seconds),
}


def write_dashboard(folders: Sequence[str], path: pathlib.Path) -> None:
    """Writes the page about some work directories. Raises UserError if one cannot be read, or the page not written."""
    files.write_text(path, render(_page(read_runs(folders))))


def _page(runs: Sequence[Run]) -> Part:
    stages = list(dict.fromkeys(stage for run in runs for stage in run.stages))
    logged = [stage for stage in stages if any(log.lines for log in _logs(runs, stage).values())]
    sections = [
        Section("Progress", "", before=_progress(runs)),
        *(_stage(stage, _logs(runs, stage)) for stage in logged),
        Section("Throughput", _ABOUT_THROUGHPUT, charts=_throughput_charts(runs, logged)),
        _configuration(runs),
        Section("Events", "", before=_events(runs)),
    ]
    return Part(" · ".join(run.name for run in runs), _LEAD, (), sections, f"Written {_date(time.time())}.")


def _logs(runs: Sequence[Run], stage: str) -> dict[str, StageLog]:
    return {run.name: run.stages[stage] for run in runs if stage in run.stages}


def _progress(runs: Sequence[Run]) -> str:
    """Returns a table with a column for each stage of each run that has begun."""
    logs = {(run.name, log.name): log for run in runs for log in run.stages.values() if log.seen}
    rows = {
        "state": [log.state for log in logs.values()],
        "step": [f"{log.step} of {log.steps}" if log.steps else str(log.step) for log in logs.values()],
        "last seen": [_date(log.seen) for log in logs.values()],
    }
    for name, (title, text) in _THROUGHPUT.items():
        values = [log.latest(_SYSTEM + name) for log in logs.values()]
        if any(value is not None for value in values):
            rows[title.removesuffix(" (s)")] = ["" if value is None else text(value) for value in values]
    names = (" ".join(names) if len(runs) > 1 else names[1] for names in logs)
    return Table(("", *names), tuple((title, *cells) for title, cells in rows.items())).html()


def _stage(stage: str, logs: Mapping[str, StageLog]) -> Section:
    """Returns the latest previews and the curves of a stage of some runs."""
    names = list(dict.fromkeys(name for log in logs.values() for name in log.metrics if not name.startswith(_SYSTEM)))
    held_out = [name for name in names if name.startswith(_HELD_OUT)]
    alone = [name for name in names if name not in held_out and _HELD_OUT + name not in held_out]
    drawn = [_chart(logs, {"held out": name, "training": name.removeprefix(_HELD_OUT)}) for name in held_out]
    drawn += [_chart(logs, {"training": name}) for name in alone]
    figures = [_preview(name, log) for name, log in logs.items() if log.preview]
    words = "Previews show true clips at the top, and below what the model makes of them." if figures else ""
    return Section(f"Stage {stage}", words, figures, columns=2, charts=list(filter(None, drawn)))


def _chart(logs: Mapping[str, StageLog], names: Mapping[str, str], title: str = "", always_linear: bool = False) -> str:
    """Returns the chart of a metric of several runs, "" if no log has it.

    Args:
        logs: by the name of the run.
        names: what the values are -> their name in the log. Of several runs only the first that is there is drawn.
        title: by default the name of the metric.
        always_linear: see `charts.line_chart`.
    """
    curves: dict[str, charts.Points] = {}
    for run, log in logs.items():
        drawn = {words: points for words, name in names.items() if (points := log.curve(name))}
        if len(logs) == 1 or not drawn:
            curves |= drawn
        else:
            curves[run] = next(iter(drawn.values()))
    if not curves:
        return ""
    title = title or next(iter(names.values())).removeprefix(_HELD_OUT).replace("_", " ")
    restarts = sorted({step for log in logs.values() for step in log.restarts})
    return charts.svg(charts.line_chart(curves, title, "training step", title, restarts, always_linear))


def _throughput_charts(runs: Sequence[Run], stages: Sequence[str]) -> list[str]:
    drawn = []
    for stage in stages:
        prefix = f"{stage}: " if len(stages) > 1 else ""
        for name, (title, _) in _THROUGHPUT.items():
            drawn.append(_chart(_logs(runs, stage), {"": _SYSTEM + name}, prefix + title, always_linear=True))
    return list(filter(None, drawn))


def _preview(name: str, log: StageLog) -> Figure:
    path = log.preview
    assert path is not None
    kind = {".png": "image/png", ".mp4": "video/mp4"}[path.suffix]
    content = base64.b64encode(path.read_bytes()).decode()
    return Figure(f"data:{kind};base64,{content}", f"{name}, step {int(path.stem)}", path.suffix == ".mp4")


def _configuration(runs: Sequence[Run]) -> Section:
    """Returns the fields that differ between the runs, if there are several, and all fields."""
    fields = list(dict.fromkeys(field for run in runs for field in run.config))
    values = {field: [_text(run.config.get(field)) for run in runs] for field in fields}
    header = ("field", *(run.name for run in runs))
    differing = [(field, *row) for field, row in values.items() if len(set(row)) > 1]
    shown = Table(header, tuple(differing)).html() if differing else ""
    everything = _folded("All fields", Table(header, tuple((field, *row) for field, row in values.items())).html())
    words = "" if len(runs) == 1 else ("What differs:" if differing else "The runs have the same configuration.")
    return Section("Configuration", words, before=shown + everything)


def _events(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        for log in run.stages.values():
            for event in log.events:
                details = {name: value for name, value in event.items() if name not in ("time", "event", "step")}
                words = ", ".join(f"{name} {_text(value)}" for name, value in details.items())
                cells = (run.name, log.name, event["event"], _text(event.get("step")), words)
                rows.append((event["time"], cells))
    rows.sort(key=lambda row: row[0])
    table = Table(("time", "run", "stage", "event", "step", "details"), tuple((_date(at), *c) for at, c in rows))
    return table.html() if rows else "<p>None.</p>"


def _folded(summary: str, inside: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary>{inside}</details>"


def _text(value: Any) -> str:
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _date(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # of a damaged line
        return f"{seconds:g}"
