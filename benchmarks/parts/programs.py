"""Compiles the programs of many workloads at once, each in a process of its own, into the cache that they share.

python -m benchmarks.parts.programs '{"data": "bair", "stage": "flow", "updates": "likelihood"}' bfloat16
"""

import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.parts.results import Results
from benchmarks.parts.steps import UPDATES, Seconds, Workload
from benchmarks.stages import CompiledStage


def compile_all(results: Results, programs: Sequence[tuple[Workload, str]], quick: bool, seconds: float) -> Seconds:
    """Compiles (workload, type) in the order given, half as many at a time as there are cores.

    Returns:
      what it took, for those that are ready within `seconds`; the others are noted as failed.
    """
    deadline, found = time.monotonic() + seconds, {}
    with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // 2)) as pool:
        running = {pool.submit(_compile, *program, quick, deadline): program for program in programs}
        for future in concurrent.futures.as_completed(running):
            workload, dtype = running[future]
            name = f"compiling {workload.name}, {dtype}"
            try:
                found[workload.name, dtype] = future.result()
            except subprocess.TimeoutExpired:
                results.fail(name, TimeoutError(f"not ready within {seconds:.0f} s"))
            except Exception as error:
                results.fail(name, error)
            else:
                print(f"{name}: {found[workload.name, dtype]}", flush=True)
    return found


def _compile(workload: Workload, dtype: str, quick: bool, deadline: float) -> dict[str, float]:
    """Runs this module as a program. Raises RuntimeError with the last line of what it says if it fails."""
    arguments = [json.dumps(dataclasses.asdict(workload)), dtype, *(["--quick"] if quick else [])]
    left = max(0.1, deadline - time.monotonic())
    command = [sys.executable, "-m", "benchmarks.parts.programs", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def main(workload: Workload, dtype: str, quick: bool) -> None:
    """Compiles the program of a workload, and prints the seconds of it and of the initialization as JSON."""
    stage = CompiledStage(workload.config(dtype, quick), workload.stage, steps=())
    name = stage.compile(UPDATES[workload.stage].index(workload.updates))
    seconds = {"compile_s": stage.compile_seconds[name], "init_s": stage.compile_seconds["init"]}
    stage.close()
    print(json.dumps(seconds))


if __name__ == "__main__":
    from benchmarks.timing import configure_libraries

    configure_libraries()
    main(Workload(**json.loads(sys.argv[1])), sys.argv[2], "--quick" in sys.argv)
