"""A real SLURM on this machine: jobs are stopped, preempted and canceled, and queue again where they should."""

import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests import compiling
from tests.compiling import HANG
from tests.end_to_end import runs
from tests.launch.synthesis import ROOT

_STEPS = 80
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")
_SPEC = (
    f"sky:runlocal,size=32,stage=image_ae data.num_clips.train=16 data.num_clips.eval=8 image_ae.batch_size=4"
    f" image_ae.steps={_STEPS} train.checkpoint_every=1000000 train.evaluate_every=1000000 train.preview_every=1000000"
)
_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PreemptMode=OFF
PartitionName=preemptible Nodes={host} MaxTime=INFINITE State=UP PreemptMode=CANCEL GraceTime=0
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _tell(*command: str) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env=compiling.environment()
    ).stdout


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Starts a controller, a node of two processors and their authentication, and sets SLURM_CONF."""
    if os.geteuid() or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        pytest.skip("needs slurm-wlm and munge (Debian) and root")
    folder = tmp_path_factory.mktemp("slurm")
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    controller, node = _free_ports(2)
    conf = folder / "slurm.conf"
    host = socket.gethostname().split(".")[0]
    conf.write_text(_CONF.format(host=host, folder=folder, controller=controller, node=node))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
        try:
            _tell("munged", "--force", f"--socket={folder}/munge.socket", *files)
            _tell("slurmctld")
            _tell("slurmd")
            yield
        finally:
            for pid in folder.glob("*.pid"):
                os.kill(int(pid.read_text()), signal.SIGKILL)


def _field(job: str, name: str) -> str:
    found = re.search(rf"\b{name}=(\S+)", _tell("scontrol", "show", "job", job))
    assert found
    return found[1]


def _text(log: pathlib.Path) -> str:
    """Returns the text of a log that two processes write, which may split a character."""
    return log.read_text(errors="replace")


def _wait_until(condition: Callable[[], bool], log: pathlib.Path, timeout: float = HANG) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, _text(log)
        time.sleep(0.2)


@pytest.mark.slow
def test_a_job_that_is_told_to_stop_queues_again_and_goes_on(slurm: None, tmp_path: pathlib.Path) -> None:
    log, workdir = tmp_path / "log", tmp_path / "run"
    folder = workdir / "image_ae"
    arguments = runs.train_command(_SPEC, workdir)[3:]
    options = ["--ntasks=2", f"--output={log}", f"--export=ALL,PYTHON={sys.executable}"]
    job = _tell("sbatch", "--parsable", *options, "launch/slurm/train.sbatch", *arguments).strip()

    stopped = 0
    # The batch script, as before a time limit; then the steps alone, as when a machine is taken away.
    for restarts, signalled in enumerate((("--batch", job), (job,)), start=1):
        wanted = stopped + 5
        _wait_until(lambda wanted=wanted: wanted in runs.steps(folder) or _field(job, "JobState") in _ENDED, log)
        _tell("scancel", "--signal=TERM", *signalled)
        _wait_until(lambda restarts=restarts: _field(job, "Restarts") == str(restarts), log)
        stopped = runs.checkpoints(folder)[-1]
        assert wanted <= stopped == runs.steps(folder)[-1] < _STEPS
        assert f"image_ae: stopped and saved after step {stopped} of" in _text(log)
        # It would wait for two minutes; SLURM refuses one that starts in the second in which it was ended.
        _tell("scontrol", "update", f"JobId={job}", "StartTime=now+5")
    _wait_until(lambda: _field(job, "JobState") in _ENDED, log)
    assert _field(job, "ExitCode") == "0:0", _text(log)
    assert f"after step {stopped} of {_STEPS}" in _text(log)
    assert "Traceback" not in _text(log)
    assert runs.steps(folder) == list(range(1, _STEPS + 1))
    assert _field(job, "Restarts") == "2"  # a job that has finished is not queued again


_TRAINING = """#!/bin/bash
arguments=("$@")
say() { echo "$1 ${arguments[-1]}" >>FOLDER/said; }
[[ $SLURM_RESTART_COUNT ]] && { say again; exit 0; }
trap 'say saved; exit 75' TERM
say started
while [[ ! -e FOLDER/end ]]; do sleep 0.1; done
say finished
"""


@pytest.mark.slow
def test_a_preempted_job_queues_again_and_a_canceled_one_does_not(slurm: None, tmp_path: pathlib.Path) -> None:
    """The partition `preemptible` cancels jobs without notice: they get the same signals as from `scancel`."""
    said, python = tmp_path / "said", tmp_path / "python"
    python.write_text(_TRAINING.replace("FOLDER", str(tmp_path)))
    python.chmod(0o755)
    options = [f"--output={tmp_path}/log", f"--export=ALL,PYTHON={python}"]

    def start(partition: str) -> str:
        said.unlink(missing_ok=True)
        where = f"--partition={partition}"
        job = _tell("sbatch", "--parsable", where, *options, "launch/slurm/train.sbatch", "run%a").strip()
        _wait_until(said.exists, tmp_path / "log")
        return job

    job = start("preemptible")
    _tell("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true")
    _wait_until(lambda: _field(job, "Restarts") == "1", said)
    assert said.read_text().splitlines()[:2] == ["started run%a", "saved run%a"]
    _tell("scancel", job)

    for partition in ("preemptible", "main"):  # SLURM tells of preemptions only in the first
        job = start(partition)
        _tell("scancel", job)
        _wait_until(lambda job=job: _field(job, "JobState") in (*_ENDED, "PENDING"), said)
        assert said.read_text().splitlines() == ["started run%a", "saved run%a"]
        assert (_field(job, "JobState"), _field(job, "Restarts")) == ("CANCELLED", "0")


@pytest.mark.slow
def test_tasks_of_an_array_are_stopped_and_queued_again_alone(slurm: None, tmp_path: pathlib.Path) -> None:
    """With a stand-in for training, which says what happens to it."""
    log, said, python = tmp_path / "log-%a", tmp_path / "said", tmp_path / "python"
    python.write_text(_TRAINING.replace("FOLDER", str(tmp_path)))
    python.chmod(0o755)
    options = ["--array=0-1", "--ntasks=1", f"--output={log}", f"--export=ALL,PYTHON={python}"]
    arguments = [*options, "launch/slurm/train.sbatch", "--flagfile=SWEEP/%a.flags"]
    job = _tell("sbatch", "--parsable", *arguments).strip()

    def wait_for(*words: str) -> None:
        def said_now() -> bool:
            lines = said.read_text().splitlines() if said.exists() else []
            assert "saved --flagfile=SWEEP/0.flags" not in lines  # nobody signalled this task
            return set(words) <= set(lines)

        _wait_until(said_now, said)

    wait_for("started --flagfile=SWEEP/0.flags", "started --flagfile=SWEEP/1.flags")
    _tell("scancel", "--signal=TERM", "--batch", f"{job}_1")  # its job has the number of the array
    wait_for("saved --flagfile=SWEEP/1.flags")
    _wait_until(lambda: _field(f"{job}_1", "Restarts") == "1", said)
    _tell("scontrol", "update", f"JobId={job}_1", "StartTime=now+5")
    wait_for("again --flagfile=SWEEP/1.flags")
    (tmp_path / "end").touch()
    wait_for("finished --flagfile=SWEEP/0.flags")
    assert len(said.read_text().splitlines()) == 5
