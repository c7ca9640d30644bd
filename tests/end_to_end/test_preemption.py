"""Runs of one and of two processes are told to stop and are killed at random moments, and lose nothing."""

import functools
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from i2v_jax.training.integrity import damage
from i2v_jax.training.interrupt import INTERRUPTED
from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.writers import read_metrics
from tests.end_to_end import runs, tiny_job
from tests.end_to_end.tiny_job import FIRST, FIRST_STEPS, SECOND

REPETITIONS = int(os.environ.get("REPETITIONS", "50"))
ENDLESS = 10**6
Start = Callable[[pathlib.Path, int], list[subprocess.Popen[str]]]

# Batch norm, spectral norm, a discriminator and averaged parameters are all in this stage.
REAL = (
    f"sky:runlocal,size=32,stage={SECOND} data.num_clips.train=40 data.num_clips.eval=8 data.workers=1"
    " image_ae.batch_size=8 train.checkpoint_every=2 train.evaluate_every=5 train.preview_every=1000000"
    " train.log_every=1 image_ae.steps="
)


def start_tiny(count: int, workdir: pathlib.Path, steps: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-m", tiny_job.__name__, str(workdir), str(steps)]
    return runs.start_job(count, command)


def start_real(count: int, workdir: pathlib.Path, steps: int) -> list[subprocess.Popen[str]]:
    return runs.start_job(count, runs.train_command(f"{REAL}{steps}", workdir))


def logged(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the log of a stage without what is measured of the machine."""
    lines = [line for line in read_metrics(folder) if not any(name.startswith("system/") for name in line)]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def steps(folder: pathlib.Path) -> list[int]:
    """Returns the training steps in the log of a stage."""
    return [line["step"] for line in logged(folder) if not any(name.startswith("eval/") for name in line)]


def position(workdir: pathlib.Path) -> tuple[int, int]:
    """Returns (stage, step) of the last step in the logs."""
    return max((stage, max(steps(workdir / name), default=0)) for stage, name in enumerate((FIRST, SECOND)))


def saved(workdir: pathlib.Path) -> tuple[int, int]:
    """Returns (stage, step) of the last checkpoint."""
    return max((stage, max(runs.checkpoints(workdir / name), default=0)) for stage, name in enumerate((FIRST, SECOND)))


def wait_for_a_moment(processes: list[subprocess.Popen[str]], workdir: pathlib.Path, draws: random.Random) -> str:
    """Waits for a random moment of a run, and returns which kind of moment it is."""
    before, wanted, began = saved(workdir), draws.randrange(1, 12), time.time()
    moments: dict[str, Callable[[], bool]] = {
        "starting": lambda: True,
        "compiling": lambda: any(path.stat().st_mtime > began for path in workdir.glob("*/metrics.jsonl")),
        "training": lambda: position(workdir) >= (before[0], before[1] + wanted),
        "evaluating": lambda: position(workdir) > before and position(workdir)[1] % 5 == 4,
        "saving": lambda: position(workdir) > before and any(workdir.glob("*/checkpoints/*tmp*")),
        "between stages": lambda: position(workdir) >= (0, FIRST_STEPS),
    }
    name = draws.choice(list(moments))
    for process in processes:
        runs.wait_until(functools.partial(runs.listens, process), process)
    runs.wait_until(moments[name], processes[0])
    time.sleep(draws.uniform(0, 0.3))
    return name


def check_intact(workdir: pathlib.Path) -> None:
    """Checks that every checkpoint is complete, and has the checksums of its files."""
    checkpoints = list(workdir.glob("*/checkpoints/[0-9]*"))
    complete = [path for path in checkpoints if path.name.isdigit()]
    assert all((path / "checksums.json").is_file() and not damage(path) for path in complete)


def check_undisturbed(start: Start, parts: pathlib.Path) -> None:
    """Checks that the run in `parts`, continued by some steps, is one that nothing disturbed, bit for bit."""
    last, whole = max(runs.checkpoints(parts / SECOND), default=0), parts.with_name(f"{parts.name}-whole")
    for workdir in (parts, whole):
        for process in start(workdir, last + 3):
            status, output = runs.finish(process)
            assert status == 0, output
    assert steps(parts / SECOND) == list(range(1, last + 4))
    for stage in (path.parent.name for path in whole.glob("*/metrics.jsonl")):
        disturbed, undisturbed = (load_networks(workdir / stage) for workdir in (parts, whole))
        jax.tree.map(np.testing.assert_array_equal, disturbed, undisturbed)
        assert logged(parts / stage) == logged(whole / stage)


def stop(start: Start, workdir: pathlib.Path, draws: random.Random) -> str:
    """Starts a run and tells it to stop; returns when and how."""
    before, processes = saved(workdir), start(workdir, ENDLESS)
    moment = wait_for_a_moment(processes, workdir, draws)
    chosen = draws.sample(processes, draws.randrange(1, len(processes) + 1))
    for process in chosen:
        process.send_signal(draws.choice([signal.SIGTERM, signal.SIGINT]))
    ends = [runs.finish(process) for process in processes]
    outputs = "\n---\n".join(output for _, output in ends)
    assert [status for status, _ in ends] == [INTERRUPTED] * len(processes), (moment, ends)
    assert "Traceback" not in outputs, outputs
    assert not any(runs.orphans(process) for process in processes)
    assert not any(workdir.glob("*/checkpoints/*tmp*"))
    check_intact(workdir)
    said = "stopped and saved" in outputs
    assert saved(workdir) >= before
    if said:  # the log ends where the checkpoint does: nothing that was trained is lost
        assert saved(workdir) == position(workdir) > before, (moment, outputs)
    else:
        assert saved(workdir)[1] in {before[1], FIRST_STEPS}, (moment, outputs)
    return f"{moment}, {len(chosen)} of {len(processes)} signaled, {'saved' if said else 'nothing to save'}"


def kill(start: Start, workdir: pathlib.Path, draws: random.Random) -> str:
    """Starts a run and kills it; returns when and how."""
    processes = start(workdir, ENDLESS)
    moment = wait_for_a_moment(processes, workdir, draws)
    chosen = draws.sample(processes, draws.randrange(1, len(processes) + 1))
    for process in chosen:
        process.kill()
    time.sleep(draws.uniform(0, 2))  # the others wait for the killed ones, or still write a checkpoint
    for process in processes:
        process.kill()
        runs.finish(process)
    check_intact(workdir)
    return f"{moment}, {len(chosen)} of {len(processes)} killed"


def repeat(disturb: Callable[..., str], start: Start, folder: pathlib.Path, count: int, each: int = 10) -> None:
    """Disturbs runs `count` times, `each` times the same one, and checks that they end as if nothing had been."""
    for number in range(count):
        workdir = folder / f"run-{number // each}"
        print(number + 1, disturb(start, workdir, random.Random(f"{disturb.__name__} {number}")), saved(workdir))
        sys.stdout.flush()
        if number % each == each - 1 or number == count - 1:
            check_undisturbed(start, workdir)


def damage_newest(stage: pathlib.Path) -> int:
    """Flips a bit in the newest checkpoint of a stage, and returns its step."""
    newest = max(runs.checkpoints(stage))
    paths = (stage / "checkpoints" / str(newest) / "networks").rglob("*")
    arrays = max((path for path in paths if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    return newest


@pytest.mark.slow
def test_two_processes_are_stopped_and_their_last_checkpoint_is_damaged(tmp_path: pathlib.Path) -> None:
    start, workdir = functools.partial(start_tiny, 2), tmp_path / "run"
    for number in range(3):
        print(stop(start, workdir, random.Random(f"stop {number}")), saved(workdir))
    damaged = damage_newest(workdir / SECOND)
    check_undisturbed(start, workdir)
    assert [path.name for path in (workdir / SECOND / "damaged").iterdir()] == [str(damaged)]


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("disturb", [stop, kill])
def test_tiny_stages_often(tmp_path: pathlib.Path, disturb: Callable[..., str], count: int) -> None:
    repeat(disturb, functools.partial(start_tiny, count), tmp_path, REPETITIONS)


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("disturb", [stop, kill])
def test_discriminators_often(tmp_path: pathlib.Path, disturb: Callable[..., str], count: int) -> None:
    repeat(disturb, functools.partial(start_real, count), tmp_path, REPETITIONS)
