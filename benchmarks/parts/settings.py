"""What settings of the GPU's compiler change: the step of BAIR's stage 1 without discriminators, in bfloat16.

Each setting is tried in a process of its own. They share `JAX_COMPILATION_CACHE_DIR`, where XLA also keeps which
kernels it has chosen, so a setting that leaves convolutions as they are compiles much faster than the first one.
"""

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.parts.results import Results

SETTINGS = {
    "as in training": "",
    "chosen kernels are not checked": "--xla_gpu_autotune_level=1",
    "no CUDA graphs": "--xla_gpu_enable_command_buffer=",
    "CUDA graphs of single kernels": "--xla_gpu_graph_min_graph_size=1",
    "convolutions as fusions": "--xla_gpu_experimental_enable_conv_fusion=true",
    "the same numbers in each run": "--xla_gpu_exclude_nondeterministic_ops=true",
    "channels first": "--xla_gpu_force_conv_nhwc=false",
}
SECONDS = 150.0  # at most for each setting


def compare(results: Results, quick: bool) -> None:
    """Adds a row for each setting; `quick`: for the first two."""
    for name in list(SETTINGS)[:2] if quick else SETTINGS:
        environment = {**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {SETTINGS[name]}"}
        command = [sys.executable, "-m", "benchmarks.parts.settings", *(["--quick"] if quick else [])]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            results.add("settings", name, message=f"took more than {SECONDS:.0f} s")
            continue
        if done.returncode:
            results.add("settings", name, message=(done.stderr.strip().splitlines() or ["no message"])[-1][:500])
        else:
            results.add("settings", name, **json.loads(done.stdout.splitlines()[-1]))


def measure(quick: bool) -> dict[str, Any]:
    """Returns the seconds of compiling the step, of taking it, and of its kernels; `quick`: of narrow networks."""
    from benchmarks import timing
    from benchmarks.parts import kernels
    from benchmarks.parts.steps import Workload
    from benchmarks.stages import CompiledStage

    workload = Workload("bair", "video_vae", "pretraining")
    stage = CompiledStage(workload.config("bfloat16", quick), workload.stage, steps=())
    name = stage.compile(0)
    run = stage.runs()[name]
    numbers = timing.alone(run, quick)
    found = kernels.most_expensive(run, 1 if quick else 3)
    stage.close()
    seconds = {"compile_s": stage.compile_seconds[name], "init_s": stage.compile_seconds["init"]}
    return {**seconds, **numbers, "busy_s": found["busy_s"], "kernels_per_step": found["kernels_per_step"]}


if __name__ == "__main__":
    from benchmarks.timing import configure_libraries

    configure_libraries()
    print(json.dumps(measure("--quick" in sys.argv)))
