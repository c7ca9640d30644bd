"""Runs training as a user does, and reads its files."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from i2v_jax.training.writers import read_metrics
from tests import compiling
from tests.compiling import HANG
from tests.launch.synthesis import ROOT


def train_command(spec: str, workdir: pathlib.Path) -> list[str]:
    """Returns the command of `spec`: a config and, after spaces, fields, like "sky:runlocal train.keep=3"."""
    config, *fields = spec.split()
    options = [f"--config.{field}" for field in fields]
    return [sys.executable, "-m", "launch.train", f"--config={config}", f"--workdir={workdir}", *options]


def start(spec: str, workdir: pathlib.Path, **environment: str) -> subprocess.Popen[str]:
    """Starts a training run in the background, in its own process group; read its output with `finish`.

    It compiles quickly, see `compiling`: most of these runs take a few steps. XLA_FLAGS="" compiles as for a user.
    """
    return _start(train_command(spec, workdir), **environment)


def _start(command: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**compiling.environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def start_job(count: int, command: list[str]) -> list[subprocess.Popen[str]]:
    """Starts a command in some processes, which find each other."""
    if count == 1:
        return [_start(command)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": str(count)}
    return [_start(command, **job, JAX_PROCESS_ID=str(index)) for index in range(count)]


def listens(process: subprocess.Popen[str]) -> bool:
    """Returns whether a process catches SIGTERM, which it does from early in its start."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def signal_group(process: subprocess.Popen[str], number: int) -> None:
    """Signals the run and its workers, like a terminal's Ctrl-C and a scheduler's SIGTERM."""
    os.killpg(process.pid, number)


def orphans(process: subprocess.Popen[str], timeout: float = HANG) -> list[int]:
    """Returns the processes of a run's group that outlive it, after some time to end."""
    deadline = time.monotonic() + timeout
    while _alive(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    return _alive(process)


def _alive(process: subprocess.Popen[str]) -> list[int]:
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended just now
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
            found += [int(path.parent.name)] if int(group) == process.pid and state != "Z" else []
    return found


def finish(process: subprocess.Popen[str], timeout: float = HANG) -> tuple[int, str]:
    """Returns (exit status, output) of a run; kills it if it takes too long."""
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, output


def train(spec: str, workdir: pathlib.Path, **environment: str) -> str:
    """Trains to the end and returns what was printed."""
    status, output = finish(start(spec, workdir, **environment))
    assert status == 0, output
    return output


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], timeout: float = HANG) -> None:
    """Returns as soon as `condition` holds; fails when the process ends or time runs out before."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.02)


def steps(folder: pathlib.Path) -> list[int]:
    """Returns the training steps in the log of a stage."""
    return [line["step"] for line in read_metrics(folder) if "loss" in line]


def losses(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the metrics of every training step in the log of a stage, without the time."""
    lines = [line for line in read_metrics(folder) if "loss" in line]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def checkpoints(folder: pathlib.Path) -> list[int]:
    """Returns the steps of the complete checkpoints of a stage."""
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit())
