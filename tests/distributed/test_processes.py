"""Two processes: they agree and wait, and what ends one of them ends both."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from i2v_jax.distributed import processes
from i2v_jax.distributed.machine import free_port
from i2v_jax.errors import UserError
from i2v_jax.training.interrupt import INTERRUPTED
from tests import compiling
from tests.end_to_end import runs
from tests.launch.synthesis import ROOT

pytestmark = pytest.mark.slow


def start(case: str, *flags: str, indices: Sequence[int] = (0, 1), **environment: str) -> list[subprocess.Popen[str]]:
    common = {
        **compiling.environment(),
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}",
        "JAX_NUM_PROCESSES": "2",
        **environment,
    }
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.distributed.together", f"--case={case}", *flags],
            cwd=ROOT,
            env={**common, "JAX_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in indices
    ]


def ends(started: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Returns (exit status, error output) of each process."""
    outputs = [process.communicate(timeout=compiling.HANG)[1] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


def test_one_waits_for_the_other() -> None:
    assert ends(start("wait")) == [(0, ""), (0, "")]


def test_an_error_of_all_is_printed_once() -> None:
    (status, output), other = ends(start("all fail"))
    assert status == 2 and len(output.splitlines()) == 1
    assert other == (2, "")


@pytest.mark.parametrize("index", [0, 1])
def test_an_error_of_one_ends_both(index: int) -> None:
    for status, output in ends(start(f"process {index} fails")):
        assert status == 2
        assert len(output.splitlines()) <= 1


@pytest.mark.parametrize(("case", "index"), [("hang", 0), ("hang", 1), ("compute", 1)])
def test_a_process_that_is_killed_is_missed(case: str, index: int) -> None:
    started = start(case)
    for process in started:
        assert process.stdout is not None
        while process.stdout.readline() != "ready\n":  # Gloo tells its ranks before
            assert process.poll() is None
    started[index].send_signal(signal.SIGKILL)
    status, output = ends(started)[1 - index]
    assert status == 1
    assert len(output.splitlines()) == 1, output


def test_a_process_that_is_stopped_before_the_other_is_there_stops_both() -> None:
    address = f"127.0.0.1:{free_port()}"
    first = start("wait", indices=[1], JAX_COORDINATOR_ADDRESS=address)
    while not runs.listens(first[0]):
        assert first[0].poll() is None
        time.sleep(0.02)
    first[0].send_signal(signal.SIGTERM)
    second = start("wait", indices=[0], JAX_COORDINATOR_ADDRESS=address)
    assert [status for status, _ in ends(first + second)] == [INTERRUPTED] * 2


@pytest.mark.parametrize("index", [0, 1])
def test_a_process_that_waits_in_vain_names_the_address(index: int) -> None:
    address = f"127.0.0.1:{free_port()}"
    started = start("wait", "--distributed_timeout=1", JAX_COORDINATOR_ADDRESS=address, indices=range(index + 1))
    for process in started[:index]:
        process.kill()  # before it can answer
    status, output = ends(started)[index]
    assert status == 2
    assert address in output and len(output.splitlines()) == 1, output


def test_one_process_agrees_with_itself() -> None:
    assert processes.agree(lambda: (1, 2)) == (1, 2)
    with pytest.raises(UserError):
        processes.agree(lambda: (_ for _ in ()).throw(UserError("no")))
    assert not os.environ.get("JAX_NUM_PROCESSES")
