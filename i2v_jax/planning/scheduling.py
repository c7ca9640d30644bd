"""A compiler in a process of its own, which ends when the program is scheduled and its memory is assigned.

What follows is code, which takes a compiler most of its time, and which no plan needs: 98% of the time of a TPU's. JAX
cannot stop a compiler there, but XLA can be told to write what it has by then, and the process can be ended.
"""

import dataclasses
import multiprocessing
import re
import tempfile
import time
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from i2v_jax.distributed.runtime import GPU_OPTIONS
from i2v_jax.planning.programs import Request, abstract_programs, names
from i2v_jax.planning.topology import open_topology

# Without a card, nothing is autotuned, and with Triton products the compiler fails on those with few rows.
_OPTIONS: dict[str, dict[str, Any]] = {"tpu": {}, "cuda": GPU_OPTIONS}
_PROGRAM, _BUFFERS = "after_optimizations.txt", "after_optimizations-buffer-assignment.txt"
_LAST = "after_optimizations-memory-usage-report.txt"  # what XLA writes after these two, and before any code
_ALLOCATION = re.compile(r"^allocation \d+: size (\d+), (.*):$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A scheduled program with the bytes of main memory that it needs.

    Attributes:
      text: the program, as `jax.stages.Compiled.as_text` prints it; empty if it is refused.
      arguments: with the padding of a TPU's tiles.
      temporaries: at most at the same time.
      results: that do not replace an argument.
      refusal: what the compiler says if the program needs too much memory.
      seconds: how long it took to compile; None without code.
    """

    text: str = ""
    arguments: int = 0
    temporaries: int = 0
    results: int = 0
    refusal: str = ""
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class _Job:
    """What another process needs to compile a program."""

    config: ConfigDict
    stage: str
    topology: str
    updates: tuple[str, ...]
    folder: str


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What became of a job that was not ended early."""

    seconds: float = 0.0
    refusal: str = ""
    failure: str = ""


def compile_program(request: Request, updates: tuple[str, ...]) -> Compiled:
    """Returns the program of a step of some updates, by name.

    Raises:
      RuntimeError: the compiler failed, for another reason than memory.
    """
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="i2v_jax-plan-") as folder:
        job = _Job(request.config, request.stage, request.topology.name, updates, folder)
        receiving, sending = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_compile, args=(job, sending), daemon=True)
        process.start()
        sending.close()
        try:
            answer = _wait(process, receiving, None if request.code else Path(folder))
        finally:
            process.kill()
            process.join()
        if answer.failure:
            raise RuntimeError(answer.failure)
        if answer.refusal:
            return Compiled(refusal=answer.refusal)
        compiled = _read(Path(folder))
    return dataclasses.replace(compiled, seconds=answer.seconds if request.code else None)


def _wait(process: BaseProcess, receiving: Connection, folder: Path | None) -> _Answer:
    """Returns what a process says, or an empty answer once everything before code is in `folder`."""
    while True:
        if receiving.poll(0.2):
            try:
                return receiving.recv()
            except EOFError:
                process.join()
                return _Answer(failure=f"the compiler ended with status {process.exitcode}: see its messages above")
        if folder and _written(folder, _LAST):
            return _Answer()


def _compile(job: _Job, sending: Connection) -> None:
    """Compiles a program and sends what became of it. What XLA decides is written to the job's folder."""
    try:
        jax.config.update("jax_platforms", "cpu")  # no accelerator of this machine is touched
        jax.config.update("jax_enable_compilation_cache", False)
        sending.send(_answer(job))
    except Exception:  # of any type: the process that waits raises it again
        sending.send(_Answer(failure=traceback.format_exc()))


def _answer(job: _Job) -> _Answer:
    topology = open_topology(job.topology)
    with abstract_programs(Request("", job.config, job.stage, topology)) as programs:
        updates = next(step for step in programs.steps if names(step) == job.updates)
        begun = time.monotonic()
        lowered = programs.lower(updates)
        try:
            lowered.compile(compiler_options={**_OPTIONS[topology.card.platform], "xla_dump_to": job.folder})
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return _Answer(refusal=_reason(str(error)))
        return _Answer(seconds=time.monotonic() - begun)


def _read(folder: Path) -> Compiled:
    (program,), (buffers,) = _written(folder, _PROGRAM), _written(folder, _BUFFERS)
    arguments = temporaries = results = 0
    for size, uses in _ALLOCATION.findall(buffers.read_text()):
        if "color " in uses:  # of memory on the chip
            continue
        if uses.startswith("parameter "):
            arguments += int(size)
        elif "preallocated-temp" in uses:
            temporaries += int(size)
        elif "maybe-live-out" in uses:
            results += int(size)
    return Compiled(program.read_text(), arguments, temporaries, results)


def _written(folder: Path, name: str) -> list[Path]:
    return list(folder.glob(f"*{name}"))


def _reason(message: str) -> str:
    """Returns the first sentence of what the compiler says about memory."""
    line = next((line for line in message.splitlines() if "emory" in line), message.splitlines()[0])
    return line.strip()
