"""Plans of trainings as Markdown and as a page."""

from collections.abc import Sequence
from pathlib import Path

from i2v_jax import files
from i2v_jax.planning.plan import Plan, StepPlan
from i2v_jax.reports.page import Number, Part, Section, Table, render

NOTE = (
    "Programs and memory are the compiler's. Times are what the data sheet allows: arithmetic and memory traffic "
    "overlap, communication overlaps with neither. Kernels that reach less than the data sheet take longer. The "
    "largest batch is estimated: its temporaries are those of this batch, enlarged in proportion."
)
_GIB = 2**30


def write_plans(folder: Path, plans: Sequence[Plan]) -> str:
    """Writes `plan.md` and `index.html`, and returns the Markdown. Raises UserError if a file cannot be written."""
    markdown = "\n\n".join(["# Plan", summary(plans).markdown(), NOTE, *map(_markdown, plans)]) + "\n"
    files.write_text(folder / "plan.md", markdown)
    files.write_text(folder / "index.html", render(*map(_part, plans)))
    return markdown


def summary(plans: Sequence[Plan]) -> Table:
    """Returns one row for each program of each plan."""
    header = (
        "config", "stage", "devices", "mesh", "batch", "step of", "memory of a device", "fits",
        "largest batch, estimated", "arithmetic", "memory traffic", "traffic / arithmetic, with that batch",
        "communication", "share of peak", "clips/s", "compiled in",
    )  # fmt: skip
    return Table(header, tuple(row for plan in plans for row in _rows(plan)))


def _rows(plan: Plan) -> list[tuple[str, ...]]:
    head = (plan.config, plan.stage, plan.topology, _mesh(plan), str(plan.batch))
    rows = [(*head, *_numbers(plan, step)) for step in plan.steps]
    if plan.refusal:
        rows.append((*head, "the next", "more than there is", "no", *("-",) * 8))
    elif not plan.complete:
        rows.append((*head, "others", *("not computed",) * 2, *("-",) * 8))
    return rows


def _numbers(plan: Plan, step: StepPlan) -> tuple[str, ...]:
    seconds = plan.seconds(step)
    return (
        _name(step),
        f"{step.memory.total / _GIB:.2f} of {plan.card.memory / _GIB:.2f} GiB",
        "yes" if plan.fits else "no",
        str(plan.estimated_largest_batch),
        _milliseconds(seconds.arithmetic),
        _milliseconds(seconds.memory),
        f"{plan.traffic_ratio(step, plan.estimated_largest_batch):.1f}" if plan.estimated_largest_batch else "-",
        _milliseconds(seconds.communication),
        f"{seconds.share_of_peak:.0%}",
        f"{plan.clips_per_second(step):.0f}",
        f"{step.compile_seconds:.0f} s" if step.compile_seconds else "-",
    )


def _memory(plan: Plan) -> Table:
    def row(name: str, of: str) -> tuple[str, ...]:
        return (name, *(f"{getattr(step.memory, of) / _GIB:.2f}" for step in plan.steps))

    rows = (
        row("parameters", "parameters"),
        row("moments of the optimizers", "moments"),
        row("averages", "averages"),
        row("statistics, singular vectors", "other_state"),
        row("frozen networks", "frozen"),
        row("batch", "batch"),
        row("all of these, as they are stored", "held"),
        row("temporaries", "temporaries"),
        row("results that replace nothing", "results"),
        row("together", "total"),
    )
    return Table(("GiB of each device", *_titles(plan)), rows)


def _communication(plan: Plan) -> Table:
    rows = [
        (
            _name(step),
            f"{exchange.count} {exchange.kind}",
            str(exchange.ways),
            f"{exchange.bytes / 1e6:.1f} MB",
            _milliseconds(exchange.seconds),
        )
        for step in plan.steps
        for exchange in step.exchanges
    ]
    return Table(("step of", "collectives", "devices", "bytes", "time"), tuple(rows))


def _largest(plan: Plan) -> Table:
    rows = [
        (_name(step), source, f"{moved / 1e9:.2f} GB", f"{moved / step.bytes:.0%}")
        for step in plan.steps
        for source, moved in step.largest
    ]
    return Table(("step of", "operation", "moves", "of all"), tuple(rows))


def _work(plan: Plan) -> Table:
    header = (
        "of each device", "products", "memory traffic", "of the state alone", "traffic / arithmetic",
        "with the largest batch, estimated",
    )  # fmt: skip
    rows = [
        (
            _name(step),
            f"{step.flops / 1e12:.3f} TFLOP",
            f"{step.bytes / 1e9:.2f} GB",
            f"{step.state_bytes / 1e9:.2f} GB",
            f"{plan.traffic_ratio(step, plan.batch):.1f}",
            f"{plan.traffic_ratio(step, plan.estimated_largest_batch):.1f}" if plan.estimated_largest_batch else "-",
        )
        for step in plan.steps
    ]
    return Table(header, tuple(rows))


def _markdown(plan: Plan) -> str:
    tables = [
        table.markdown()
        for table in (summary([plan]), _work(plan), _memory(plan), _communication(plan), _largest(plan))
    ]
    return "\n\n".join([f"## {_title(plan)}", _lead(plan), *tables])


def _part(plan: Plan) -> Part:
    sections = [
        Section("Programs", NOTE, before=summary([plan]).html() + _work(plan).html()),
        Section("Memory", "What each device holds during a step.", before=_memory(plan).html()),
        Section("Communication", "What devices exchange in a step.", before=_communication(plan).html()),
        Section("Traffic", "The operations that move most to and from main memory.", before=_largest(plan).html()),
    ]
    last = plan.steps[-1] if plan.steps else None
    numbers = [
        Number("yes" if plan.fits else "no", "does it fit"),
        Number(f"{plan.memory / _GIB:.2f} GiB", f"of the {plan.card.memory / _GIB:.2f} of each device"),
        Number(str(plan.estimated_largest_batch), "clips in the largest batch that fits, estimated"),
    ]
    if last:
        numbers += [
            Number(f"{plan.clips_per_second(last):.0f} clips/s", "at most"),
            Number(f"{plan.seconds(last).share_of_peak:.0%}", "of the peak in matrix products, at most"),
        ]
    return Part(_title(plan), _lead(plan), numbers, sections, f"{plan.compiler}. {'; '.join(plan.card.sources)}.")


def _lead(plan: Plan) -> str:
    each = f"{plan.batch} clips, {plan.batch // plan.devices} on each of {plan.devices} {plan.card.title}"
    fits = (
        f"It fits: {plan.memory / _GIB:.2f} of {plan.card.memory / _GIB:.2f} GiB." if plan.fits else "It does not fit."
    )
    refused = f" The compiler says: {plan.refusal}" if plan.refusal else ""
    return f"{each}, mesh {_mesh(plan)}, {plan.dtype}. {fits}{refused}"


def _title(plan: Plan) -> str:
    return f"{plan.config}, {plan.stage} on {plan.topology}"


def _titles(plan: Plan) -> tuple[str, ...]:
    return tuple(map(_name, plan.steps))


def _name(step: StepPlan) -> str:
    return " + ".join(step.updates)


def _mesh(plan: Plan) -> str:
    return " ".join(f"{axis}={size}" for axis, size in plan.mesh.items() if size > 1) or "one device"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"
