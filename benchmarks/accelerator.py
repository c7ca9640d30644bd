"""What one accelerator does, in at most eight minutes: numbers, speed against PyTorch, kernels. Results as JSON.

    python -m benchmarks.accelerator --out=card.json --report=card.md                  # everything that fits
    python -m benchmarks.accelerator --out=card.json --parts=compiled,float32,batches  # adds to the same file
    python -m benchmarks.accelerator --out=card.json --report=card.md --parts=         # only writes the summary
    python -m benchmarks.accelerator --out=quick.json --quick                          # narrow networks, for a CPU

Compilers are slow, and a card's minutes are few: all programs of the chosen parts are compiled first, several at a
time, while the fixtures are compared. What is not ready after half of the minutes is not measured. The parts, the most
valuable first. Whatever stops the program (the limit, a signal, a crash) keeps what was measured: the file is complete
after every measurement, and lists under "not_measured" what is missing.

  fixtures   the reference fixtures of tests/reference in float32 (without TensorFloat-32) and bfloat16
  bair       BAIR's stage 1 in bfloat16, without and with discriminators, against eager PyTorch
  kernels    the ten most expensive kernels of that step
  fvd        the features of FVD per second
  sampling   one video and many at a time, of both models
  flow, landscape, poke, image
             the steps of the other stages in bfloat16, against eager PyTorch
  compiled   PyTorch's steps and sampling through torch.compile
  float32    our steps and sampling in float32
  batches    our steps at twice the batch size, and PyTorch's
  settings   the first of BAIR's steps with other settings of the GPU's compiler, one after the other

Networks are at full width, weights random, batches noise. Nothing is downloaded. Compile times are those of an empty
cache, unless JAX_COMPILATION_CACHE_DIR names one, with as many compilers at work as half of the cores.
"""
# ruff: noqa: E402 (libraries are imported after their settings)

import argparse
import concurrent.futures
import dataclasses
import functools
import gc
import json
import os
import pathlib
import tempfile
import threading
import time
from collections.abc import Callable

from benchmarks import timing

_CACHE = tempfile.TemporaryDirectory(prefix="i2v_jax_benchmark_")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE.name)
timing.configure_libraries()

import torch

from benchmarks.parts import fixtures, inference, kernels, programs, report, settings
from benchmarks.parts.results import Results
from benchmarks.parts.steps import UPDATES, Bench, Workload

MINUTES = 8.0
DEFAULT = "fixtures,bair,kernels,fvd,sampling,flow,landscape,poke,image"
OURS, EAGER = ("jax_bfloat16",), ("eager_float32", "eager_bfloat16")
COMPILED = ("compiled_float32", "compiled_bfloat16")
# Part -> the stages that it trains. The program with discriminators comes first: it is where training spends its time.
STAGES = {
    "bair": (("bair", "video_vae"),),
    "flow": (("bair", "flow"),),
    "landscape": (("landscape", "video_vae"),),
    "poke": (("poking_plants", "poke"),),
    "image": (("bair", "image_ae"),),
}
WORKLOADS = {
    part: [Workload(data, stage, updates) for data, stage in stages for updates in reversed(UPDATES[stage])]
    for part, stages in STAGES.items()
}
SAMPLING = (("bair", 1), ("bair", 64), ("poking_plants", 1), ("poking_plants", 64), ("landscape", 64))


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One step of the program: it adds rows to the results. `program`: what it needs compiled."""

    part: str
    name: str
    run: Callable[[], object]
    program: tuple[Workload, str] | None = None


def measurements(bench: Bench, results: Results, trace: str) -> list[Measurement]:
    """Returns all measurements, the most valuable first; some of each part if `bench` is quick. See `profile`."""
    quick = bench.quick
    found: list[Measurement] = []

    def add(part: str, name: str, run: Callable[..., object], *arguments: object) -> None:
        found.append(Measurement(part, name, functools.partial(run, *arguments)))

    def add_steps(part: str, workloads: list[Workload], *sides: str) -> None:
        for workload in workloads:
            for side in sides:
                who, dtype = side.split("_")
                measure = functools.partial(bench.measure, workload_part(workload), workload, side)
                program = (workload, dtype) if who == "jax" else None
                found.append(Measurement(part, f"{workload.name}, {side}", measure, program))

    def add_sampling(part: str, *sides: str) -> None:
        for data, videos in SAMPLING[1:4:2] if quick else SAMPLING:
            for side in sides:
                count = 2 if quick and videos > 1 else videos
                name = f"sampling of {data}, {videos}, {side}"
                add(part, name, inference.compare_sampling, results, data, count, quick, side)

    every = [workload for workloads in WORKLOADS.values() for workload in workloads]
    few = WORKLOADS["flow"] if quick else every
    add_steps("bair", WORKLOADS["bair"], *OURS, *EAGER)
    workload = WORKLOADS["bair"][0]
    profiling = functools.partial(profile, bench, results, workload, quick, trace)
    found.append(Measurement("kernels", "most expensive kernels", profiling, (workload, "bfloat16")))
    add("fvd", "features of FVD", inference.compare_features, results, 1 if quick else 16, quick)
    add_sampling("sampling", *OURS, "eager_float32")
    for part in ("flow", "landscape", "poke", "image"):
        add_steps(part, WORKLOADS[part][:1] if quick else WORKLOADS[part], *OURS, *EAGER)
    add_steps("compiled", [workloads[0] for workloads in WORKLOADS.values()] if quick else every, *COMPILED)
    add_sampling("compiled", "compiled_float32")
    add_steps("float32", few, "jax_float32")
    add_sampling("float32", "jax_float32")
    larger = [dataclasses.replace(workload, batches=2) for workload in few]
    add_steps("batches", larger, *OURS, "eager_float32", "jax_float32")
    add("settings", "settings of the compiler", settings.compare, results, quick)
    return found


def workload_part(workload: Workload) -> str:
    """Returns the part that a workload's row belongs to."""
    return next(part for part, stages in STAGES.items() if (workload.data, workload.stage) in stages)


def profile(bench: Bench, results: Results, workload: Workload, quick: bool, folder: str) -> None:
    """Traces a step. A `folder`, unless empty, gets the trace and the program's text."""
    stage = bench.stage(workload, "bfloat16")
    if folder:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        pathlib.Path(folder, "program.hlo").write_text(stage.programs[workload.updates].as_text())
    found = kernels.most_expensive(stage.runs()[workload.updates], 1 if quick else 3, folder=folder)
    results.add("kernels", f"{workload.name}, jax_bfloat16", **found)


def watch(results: Results, seconds: float) -> None:
    """Ends the process after some seconds, whatever it is doing: compilers do not return to be asked."""

    def expire() -> None:
        results.finish("the limit of --minutes")
        print("The time is up; the file lists what was not measured.", flush=True)
        os._exit(0)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=DEFAULT, help="comma-separated; see above; none: only the report")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the program ends after that, default 8")
    parser.add_argument("--out", default="", help="JSON file for the results; rows of an earlier run stay")
    parser.add_argument("--report", default="", help="Markdown file for a summary of the results")
    parser.add_argument("--trace", default="", help="folder that keeps the trace of the part kernels, for XProf")
    parser.add_argument("--quick", action="store_true", help="narrow networks, one repeat: a rehearsal")
    return parser.parse_args()


def prepare(chosen: list[Measurement], bench: Bench, results: Results, compare: bool, deadline: float) -> None:
    """Compiles what the measurements need and, if `compare`, compares the fixtures at the same time."""
    needed = list(dict.fromkeys(measurement.program for measurement in chosen if measurement.program))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        fixtures_done = pool.submit(fixtures.compare, results, bench.quick) if compare else None
        if needed:
            bench.compile_seconds = programs.compile_all(results, needed, bench.quick, deadline - time.time())
        if fixtures_done:
            fixtures_done.result()


def run(chosen: list[Measurement], bench: Bench, results: Results) -> None:
    """Runs measurements one after another; what one that fails says is among the results, and the others go on."""
    for index, measurement in enumerate(chosen):
        results.begin(measurement.name, [later.name for later in chosen[index + 1 :]])
        try:
            measurement.run()
        except Exception as error:
            results.fail(measurement.name, error)
            bench.forget()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    results.finish()


def main() -> None:
    began = time.time()
    arguments = parse()
    if not arguments.parts:
        report.write(arguments.report, json.loads(pathlib.Path(arguments.out).read_text()))
        return
    torch.manual_seed(0)
    results = Results(arguments.out, {**timing.environment(), "quick": arguments.quick})
    watch(results, 60 * arguments.minutes - (time.time() - began))
    bench = Bench(results, arguments.quick)
    every = measurements(bench, results, arguments.trace)
    known = {"fixtures", *(measurement.part for measurement in every)}
    parts = arguments.parts.split(",")
    if unknown := set(parts) - known:
        raise SystemExit(f"unknown --parts: {', '.join(sorted(unknown))} (must be of {', '.join(sorted(known))})")
    chosen = [measurement for measurement in every if measurement.part in parts]
    results.begin("programs", [measurement.name for measurement in chosen])
    prepare(chosen, bench, results, "fixtures" in parts, began + 30 * arguments.minutes)
    run(chosen, bench, results)
    if arguments.report:
        report.write(arguments.report, results.content)


if __name__ == "__main__":
    main()
