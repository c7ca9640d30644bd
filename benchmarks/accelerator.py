"""What one accelerator does, in at most eight minutes: numbers, speed against PyTorch, kernels. Results as JSON.

    python -m benchmarks.accelerator --out=card.json --report=card.md                  # everything that fits
    python -m benchmarks.accelerator --out=card.json --parts=compiled,float32,batches  # adds to the same file
    python -m benchmarks.accelerator --out=card.json --report=card.md --parts=         # only writes the summary
    python -m benchmarks.accelerator --out=quick.json --quick                          # narrow networks, for a CPU

The parts run in this order, the most valuable first. Whatever stops the program (the limit, a signal, a crash) keeps
what was measured: the file is complete after every measurement, and lists under "not_measured" what is missing.

  triton     whether the GPU compiler's Triton kernels take the decoder's odd products; if they do not, the rest runs
             without them
  bair       BAIR's stage 1 in bfloat16, without and with discriminators, against eager PyTorch
  kernels    the ten most expensive kernels of that step
  fixtures   the reference fixtures of tests/reference in float32 (without TensorFloat-32) and bfloat16
  fvd        the features of FVD per second
  sampling   one video and many at a time, of both models
  flow, landscape, poke, image
             the steps of the other stages in bfloat16, against eager PyTorch
  compiled   PyTorch's steps and sampling through torch.compile
  float32    our steps and sampling in float32
  batches    our steps at twice the batch size, and PyTorch's

Networks are at full width, weights random, batches noise. Nothing is downloaded. Compile times are those of an empty
cache, unless JAX_COMPILATION_CACHE_DIR names one.
"""
# ruff: noqa: E402 (libraries are imported after their settings)

import argparse
import dataclasses
import functools
import gc
import json
import os
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from benchmarks import timing

_CACHE = tempfile.TemporaryDirectory(prefix="i2v_jax_benchmark_")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE.name)
timing.configure_libraries()

import jax
import torch

from benchmarks.parts import fixtures, inference, kernels, report, triton
from benchmarks.parts.results import Results, one_line
from benchmarks.parts.steps import UPDATES, Bench, Workload

MINUTES = 8.0
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
STARTED = "I2V_JAX_ACCELERATOR_STARTED"  # when the program started, for one that starts itself again


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One step of the program: it adds rows to the results."""

    part: str
    name: str
    run: Callable[[], object]


def measurements(bench: Bench, results: Results, quick: bool) -> list[Measurement]:
    """Returns all measurements, the most valuable first; `quick`: some of each part."""
    found: list[Measurement] = []

    def add(part: str, name: str, run: Callable[..., object], *arguments: object) -> None:
        found.append(Measurement(part, name, functools.partial(run, *arguments)))

    def add_steps(part: str, workloads: list[Workload], *sides: str) -> None:
        for workload in workloads:
            for side in sides:
                add(part, f"{workload.name}, {side}", bench.measure, workload_part(workload), workload, side)

    def add_sampling(part: str, *sides: str) -> None:
        for data, videos in SAMPLING[1:4:2] if quick else SAMPLING:
            for side in sides:
                count = 2 if quick and videos > 1 else videos
                name = f"sampling of {data}, {videos}, {side}"
                add(part, name, inference.compare_sampling, results, data, count, quick, side)

    every = [workload for workloads in WORKLOADS.values() for workload in workloads]
    few = WORKLOADS["flow"] if quick else every
    add("triton", "Triton products", check_triton, results, quick)
    add_steps("bair", WORKLOADS["bair"], *OURS, *EAGER)
    add("kernels", "most expensive kernels", profile, bench, results, quick)
    add("fixtures", "reference fixtures", fixtures.compare, results, quick)
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
    return found


def workload_part(workload: Workload) -> str:
    """Returns the part that a workload's row belongs to."""
    return next(part for part, stages in STAGES.items() if (workload.data, workload.stage) in stages)


def check_triton(results: Results, quick: bool) -> None:
    """Compiles SPADE's maps for two batch sizes. If that needs no Triton, the program starts again without it."""
    for batch in (1,) if quick else (4, 10):
        for enabled in (True, False):
            name = f"SPADE's maps, batch {batch}, {'with' if enabled else 'without'} Triton products"
            try:
                results.add("triton", name, **triton.check(batch, enabled, quick))
            except jax.errors.JaxRuntimeError as error:
                results.add("triton", name, compiles=False, message=one_line(error))
                if enabled and jax.default_backend() == "gpu":
                    restart_without_triton()


def restart_without_triton() -> None:
    """Replaces this process by one with XLA's flag; the flag of a started process cannot change."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{triton.FLAG}=false"
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks.accelerator", *sys.argv[1:]])


def profile(bench: Bench, results: Results, quick: bool) -> None:
    """Traces BAIR's step with discriminators."""
    workload = WORKLOADS["bair"][0]
    run = bench.stage(workload, "bfloat16").runs()[workload.updates]
    results.add("kernels", f"{workload.name}, jax_bfloat16", **kernels.most_expensive(run, 1 if quick else 3))


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
    parser.add_argument("--parts", default="all", help="comma-separated; see above; none: only the report")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the program ends after that, default 8")
    parser.add_argument("--out", default="", help="JSON file for the results; rows of an earlier run stay")
    parser.add_argument("--report", default="", help="Markdown file for a summary of the results")
    parser.add_argument("--quick", action="store_true", help="narrow networks, one repeat: a rehearsal")
    return parser.parse_args()


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
    began = float(os.environ.setdefault(STARTED, str(time.time())))
    arguments = parse()
    if not arguments.parts:
        report.write(arguments.report, json.loads(pathlib.Path(arguments.out).read_text()))
        return
    torch.manual_seed(0)
    results = Results(arguments.out, {**timing.environment(), "quick": arguments.quick})
    watch(results, max(1.0, 60 * arguments.minutes - (time.time() - began)))
    bench = Bench(results, arguments.quick)
    every = measurements(bench, results, arguments.quick)
    known = list(dict.fromkeys(measurement.part for measurement in every))
    parts = known if arguments.parts == "all" else arguments.parts.split(",")
    if unknown := set(parts) - set(known):
        raise SystemExit(f"unknown --parts: {', '.join(sorted(unknown))} (must be of {', '.join(known)})")
    run([measurement for measurement in every if measurement.part in parts], bench, results)
    if arguments.report:
        report.write(arguments.report, results.content)


if __name__ == "__main__":
    main()
