"""Runs several processes of a training or an evaluation on this machine, as a cluster would on many.

    python -m launch.local_cluster --processes=2 --devices_per_process=4 -- --config=sky:runlocal --workdir=runs/sky
    python -m launch.local_cluster --processes=2 --command=evaluate -- --workdir=runs/sky

The processes divide the GPUs; where there are none, each makes as many devices of the CPU as it is told, and they talk
through Gloo. The number of a process stands before its lines. Signals go to all processes. When one fails, all end, and
its exit status is that of this command.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from absl import flags

from i2v_jax.errors import UserError
from i2v_jax.launch._app import run

PROCESSES = flags.DEFINE_integer("processes", 2, "Number of processes.", lower_bound=1)
DEVICES = flags.DEFINE_integer(
    "devices_per_process",
    0,
    "Devices of each process; 0 gives each the same part of the GPUs, or one device of the CPU.",
    lower_bound=0,
)
COMMAND = flags.DEFINE_enum("command", "train", ["train", "evaluate"], "What the processes run.")

_PATIENCE = 60  # seconds that the others have to end by themselves after a failure; they need up to 30


def main(argv: Sequence[str]) -> None:
    processes = [_start(argv[1:], index, environment) for index, environment in enumerate(_environments())]
    readers = [
        threading.Thread(target=_print_lines, args=(index, process.stdout)) for index, process in enumerate(processes)
    ]
    for reader in readers:
        reader.start()

    def forward(number: int, frame: object) -> None:
        for process in processes:
            process.send_signal(number)  # nothing happens to one that has ended

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    status = _wait(processes)
    for reader in readers:
        reader.join()
    sys.exit(status)


def _environments() -> list[dict[str, str]]:
    """Returns the environment of each process. Raises UserError if there are fewer GPUs than are asked for."""
    from i2v_jax.distributed.machine import Machine, free_port

    gpus = 0 if os.environ.get("JAX_PLATFORMS") == "cpu" else Machine.here().visible_gpus()
    each = DEVICES.value or max(1, gpus // PROCESSES.value)
    if gpus and PROCESSES.value * each > gpus:
        raise UserError(
            f"{PROCESSES.value} processes with {each} devices each need more than the {gpus} GPUs of this machine: ask "
            "for fewer, or set JAX_PLATFORMS=cpu",
            "devices_per_process",
            each,
        )
    address = f"127.0.0.1:{free_port()}"
    common = {**os.environ, "JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(PROCESSES.value)}
    return [
        {
            **common,
            "JAX_PROCESS_ID": str(index),
            **(
                {"JAX_LOCAL_DEVICE_IDS": ",".join(map(str, range(index * each, (index + 1) * each)))}
                if gpus
                else {"JAX_NUM_CPU_DEVICES": str(each)}
            ),
        }
        for index in range(PROCESSES.value)
    ]


def _start(arguments: Sequence[str], index: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", f"i2v_jax.launch.{COMMAND.value}", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C comes once, forwarded
    )


def _print_lines(index: int, output: IO[bytes]) -> None:
    for line in output:
        # A progress bar writes over itself: what stays is behind the last carriage return.
        kept = line.rstrip().rpartition(b"\r")[2].decode(errors="replace")
        print(f"[{index}] {kept}", flush=True)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """Waits for all processes, and ends them some time after the first has failed. Returns the status of that one."""
    failed, deadline = 0, float("inf")
    while running := [process for process in processes if process.poll() is None]:
        statuses = [process.returncode for process in processes if process.returncode]
        if statuses and not failed:
            failed, deadline = statuses[0], time.monotonic() + _PATIENCE
        if time.monotonic() > deadline:
            for process in running:
                process.kill()
        time.sleep(0.1)
    failed = failed or next((process.returncode for process in processes if process.returncode), 0)
    return failed if failed >= 0 else 128 - failed  # as a shell says that a signal ended it


if __name__ == "__main__":
    run(main, positional="-- FLAGS of the command that the processes run")
