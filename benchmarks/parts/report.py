"""A summary of the results of `benchmarks.accelerator` in Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.parts.steps import SIDES
from i2v_jax import files

_NAMES = {
    "jax_bfloat16": "ours, bfloat16",
    "jax_float32": "ours, float32",
    "jax_float32_highest": "ours, float32 without TF32",
    "eager_float32": "PyTorch eager, TF32",
    "eager_bfloat16": "PyTorch eager, bfloat16 autocast",
    "compiled_float32": "torch.compile, TF32",
    "compiled_bfloat16": "torch.compile, bfloat16 autocast",
}
_STEPS = ("bair", "flow", "landscape", "poke", "image")


def write(path: str, content: Mapping[str, Any]) -> None:
    """Writes the summary of a results file."""
    files.write_text(path, markdown(content))


def markdown(content: Mapping[str, Any]) -> str:
    """Returns the summary: a table of steps, of sampling and features, of kernels, of fixtures, and what failed."""
    about, rows = content["about"], content["rows"]
    first = f"{about['device']}, {about['date'][:10]}, jax {about['jax']}, torch {about['torch']}"
    if about["quick"]:
        first += "; a rehearsal with narrow networks"
    by_part = {part: [row for row in rows if row["part"] == part] for part in {row["part"] for row in rows}}
    parts = [first, _steps([row for part in _STEPS for row in by_part.get(part, [])])]
    parts += [_inference(by_part.get("sampling", []), "videos_per_s", "videos/s")]
    parts += [_inference(by_part.get("fvd", []), "clips_per_s", "clips/s")]
    parts += [_kernels(row) for row in by_part.get("kernels", []) if "kernels" in row]
    parts += [_fixtures(by_part.get("fixtures", [])), _settings(by_part.get("settings", []))]
    failed = {**content["failed"], **{row["name"]: row["message"] for row in rows if "message" in row}}
    if failed:
        parts.append("Failed:\n\n" + "\n".join(f"- {name}: {message}" for name, message in failed.items()))
    if content["not_measured"]:
        parts.append("Not measured: " + "; ".join(content["not_measured"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Iterable[str], rows: list[list[str]]) -> str:
    """Returns a table; "" without rows."""
    head = list(head)
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) if rows else ""


def _number(numbers: Mapping[str, Any], key: str, form: str = "{:.1f}", factor: float = 1.0) -> str:
    return form.format(factor * numbers[key]) if key in numbers else ""


def _steps(rows: list[Mapping[str, Any]]) -> str:
    cells = [
        [
            f"{row['name']} ({row['batch']})" if "batch" in row else row["name"],
            _NAMES[side],
            _number(row[side], "median_s", factor=1e3),
            _number(row[side], "examples_per_s"),
            _number(row[side], "times_eager", "{:.2f}"),
            _number(row[side], "share_of_peak", "{:.0%}"),
            _number(row[side], "memory_gib"),
            _number(row[side], "program_gb"),
            _number(row[side], "compile_s"),
        ]
        for row in rows
        for side in SIDES
        if side in row
    ]
    times = ("ms, median", "examples/s", "times eager's speed", "of peak")
    return _table(("step (batch)", "", *times, "GiB", "GB moved", "compile, s"), cells)


def _inference(rows: list[Mapping[str, Any]], rate: str, unit: str) -> str:
    cells = [
        [row["name"], _NAMES[side], _number(row[side], "median_s", factor=1e3), _number(row[side], rate)]
        for row in rows
        for side in SIDES
        if side in row
    ]
    return _table(("", "", "ms, median", unit), cells)


def _kernels(row: Mapping[str, Any]) -> str:
    cells = [
        [
            f"`{kernel['name']}`",
            f"`{kernel['operation']}`",
            f"{kernel['calls']:.0f}",
            f"{1e3 * kernel['seconds']:.2f}",
            f"{kernel['share']:.1%}",
        ]
        for kernel in row["kernels"]
    ]
    head = ("kernel", "one of its operations", "calls per step", "ms per step", "share")
    about = f"{row['name']}: {row['kernels_per_step']:.0f} kernels per step, busy for {1e3 * row['busy_s']:.1f} ms"
    return about + "\n\n" + _table(head, cells)


def _fixtures(rows: list[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["name"],
            dtype,
            "yes" if verdict["within"] else "**no**",
            verdict["worst"],
            *(f"{verdict[key]:.2g}" for key in ("error", "tolerance", "rounding")),
        ]
        for row in rows
        for dtype, verdict in ((dtype, row[dtype]) for dtype in ("float32", "bfloat16") if dtype in row)
    ]
    head = ("fixture", "", "within", "nearest to its tolerance", "error", "tolerance", "one rounding")
    return _table(head, cells)


def _settings(rows: list[Mapping[str, Any]]) -> str:
    cells = [
        [
            row["name"],
            _number(row, "compile_s"),
            _number(row, "median_s", factor=1e3),
            _number(row, "busy_s", factor=1e3),
            _number(row, "kernels_per_step", "{:.0f}"),
        ]
        for row in rows
        if "compile_s" in row
    ]
    return _table(("compiler's setting", "compile, s", "ms, median", "ms of kernels", "kernels per step"), cells)
