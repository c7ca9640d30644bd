"""`launch/tpu`: what the scripts ask of gcloud, with a stand-in that records it; nothing here reaches a TPU."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.launch.synthesis import ROOT

# Answers from lists in answers.json: the next state at each `describe`, the next exit status at each command on hosts.
_GCLOUD = f"""#!{sys.executable} -IS
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
answers = json.loads((here / "answers.json").read_text())
def next_of(name, last):
    value = answers[name].pop(0) if answers[name] else last
    (here / "answers.json").write_text(json.dumps(answers))
    return value
if "describe" in sys.argv:
    state = next_of("states", "ACTIVE")
    if state in ("NOT_FOUND", "UNREACHABLE"):
        sys.exit("ERROR: (gcloud.compute.tpus.queued-resources.describe) " + state + ": the words of gcloud")
    print(state)
if "create" in sys.argv and answers.get("refused"):
    sys.exit(1)
if any("train.sh" in word for word in sys.argv):
    sys.exit(next_of("trainings", 0))
if any("test -e" in word for word in sys.argv):
    sys.exit(next_of("installed", 0))
"""


@pytest.fixture
def pod(tmp_path):
    """Returns a function that runs pod.sh and returns (its result, the calls of gcloud)."""
    (tmp_path / "gcloud").write_text(_GCLOUD)
    (tmp_path / "gcloud").chmod(0o755)
    settings = {"TPU_NAME": "pod", "TPU_ZONE": "zone", "TPU_TYPE": "v5litepod-16", "TPU_RUNTIME": "runtime"}

    def run(*arguments, unset="", folder=ROOT, **answers):
        (tmp_path / "answers.json").write_text(json.dumps({"states": [], "trainings": [], "installed": []} | answers))
        environment = {
            **os.environ, **settings, "TPU_OPTIONS": "--spot --reserved", "TPU_POLL_SECONDS": "0",
            "TPU_SETUP": "gcloud storage cp gs://b/'a file' .",
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        }  # fmt: skip
        environment.pop(unset, None)
        done = subprocess.run(
            [ROOT / "launch" / "tpu" / "pod.sh", *arguments],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        calls = tmp_path / "calls"
        return done, [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return run


BUCKET = "--workdir=gs://b/run"


def verbs(calls):
    """Returns what each call does, without the questions for the state."""
    found = []
    for call in calls:
        command = next((word for word in call if word.startswith("--command=")), "")
        if call[3] != "describe":
            found.append("installed?" if "test -e" in command else "train" if "train.sh" in command else call[3])
    return found


def test_a_pod_is_requested_until_it_is_there(pod):
    done, calls = pod("create", states=["NOT_FOUND", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"])
    assert done.returncode == 0, done.stderr
    assert verbs(calls) == ["create"]
    (create,) = (call for call in calls if call[3] == "create")
    assert create == [
        "compute", "tpus", "queued-resources", "create", "pod", "--zone=zone", "--node-id=pod",
        "--accelerator-type=v5litepod-16", "--runtime-version=runtime", "--spot", "--reserved",
    ]  # fmt: skip


def test_what_is_committed_is_copied_and_installed(pod):
    done, calls = pod("install")
    assert done.returncode == 0, done.stderr
    assert verbs(calls) == ["scp", "ssh"]
    assert all("--worker=all" in call and "--zone=zone" in call for call in calls)
    assert calls[0][5] == "pod:i2v_jax.tar.gz" and not pathlib.Path(calls[0][4]).exists()
    assert shlex.split(calls[1][-1])[-2:] == ["i2v_jax/launch/tpu/install.sh", "gcloud storage cp gs://b/'a file' ."]


def test_the_whole_repository_is_copied_from_any_folder(pod, tmp_path):
    kept = tmp_path / "kept.tar.gz"
    (tmp_path / "gcloud").write_text(f'#!/bin/bash\n[[ $* == *scp* ]] && cp "$5" {kept}; exit 0\n')
    pod("install", folder=ROOT / "docs")
    names = subprocess.run(["tar", "tzf", kept], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"setup.py", "launch/tpu/install.sh", "docs/plan.md"} <= set(names)


def test_a_command_keeps_its_words(pod):
    words = [".venv/bin/python", "--name=it's", "--workdir=gs://b/a b"]
    done, calls = pod("run", *words)
    assert done.returncode == 0, done.stderr
    assert shlex.split(calls[-1][-1].removeprefix("--command="))[3:] == words


def test_training_installs_what_is_missing_and_quotes_its_arguments(pod):
    done, calls = pod("train", "--config=my configs/a.py", "--workdir=gs://b/run", installed=[1])
    assert done.returncode == 0, done.stderr
    assert verbs(calls) == ["installed?", "scp", "ssh", "train"]
    words = subprocess.run(
        ["bash", "-c", calls[-1][-1].removeprefix("--command=").replace("cd i2v_jax && 'bash'", "printf '%s\\n'")],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert words == ["launch/tpu/train.sh", "--config=my configs/a.py", "--workdir=gs://b/run"]


def test_interrupted_training_goes_on(pod):
    done, calls = pod("train", BUCKET, trainings=[75, 75, 0])
    assert done.returncode == 0, done.stderr
    assert verbs(calls) == ["installed?", "train"] * 3


@pytest.mark.parametrize("lost", [255, 1])
def test_a_pod_that_was_preempted_is_requested_again(pod, lost):
    """Whatever training ended with: it had time to save, the connection broke, or other hosts missed one."""
    states = (
        ["ACTIVE", "SUSPENDED", "NOT_FOUND", "ACTIVE"]
        if lost != 1
        else ["ACTIVE", "SUSPENDED", "SUSPENDED", "NOT_FOUND", "ACTIVE"]
    )
    done, calls = pod("train", BUCKET, trainings=[lost, 0], states=states, installed=[0, 1])
    assert done.returncode == 0, done.stderr
    assert verbs(calls) == ["installed?", "train", "delete", "create", "installed?", "scp", "ssh", "train"]
    assert next(call for call in calls if call[3] == "delete")[-2:] == ["--force", "--quiet"]


@pytest.mark.parametrize("status", [1, 2])
def test_training_that_fails_is_not_started_again(pod, status):
    done, calls = pod("train", BUCKET, trainings=[status])
    assert done.returncode == status
    assert verbs(calls) == ["installed?", "train"]


def test_training_goes_on_when_the_network_is_back(pod):
    states = ["ACTIVE", "UNREACHABLE", "UNREACHABLE", "ACTIVE"]
    done, calls = pod("train", BUCKET, trainings=[255, 0], states=states)
    assert done.returncode == 0, done.stderr
    assert verbs(calls) == ["installed?", "train"] * 2


def test_a_cloud_that_was_never_reached_is_not_asked_again(pod):
    done, calls = pod("create", states=["UNREACHABLE"])
    assert done.returncode == 2 and len(calls) == 1
    assert "the words of gcloud" in done.stderr and "error: Google Cloud cannot be asked for pod" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("dance",),
        ("train",),
        ("train", "--config=bair", "--workdir=RUN"),
        ("train", "--config", "bair", "--workdir", "RUN"),
    ],
)
def test_what_is_refused(pod, arguments):
    done, _ = pod(*arguments, refused=True, states=["NOT_FOUND"])
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_missing_setting_is_refused(pod):
    done, _ = pod("create", unset="TPU_ZONE")
    assert done.returncode == 2 and done.stderr.startswith("error: TPU_ZONE is not set")


def test_help(pod):
    for arguments in ([], ["--help"]):
        done, calls = pod(*arguments, unset="TPU_NAME")
        assert done.returncode == 0 and not calls
        assert "launch/tpu/pod.sh delete" in done.stdout and "set -uo" not in done.stdout


def test_a_training_that_still_runs_on_a_host_ends_first(tmp_path):
    """Its stand-in saves on SIGTERM, as the file of what happened shows."""
    (tmp_path / "launch").mkdir()
    shutil.copytree(ROOT / "launch" / "tpu", tmp_path / "launch" / "tpu")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(
        f"""#!/bin/bash
echo "start $3" >>{tmp_path}/happened
[[ $3 == --second ]] && exit 75
trap 'echo saved >>{tmp_path}/happened; exit 75' TERM
touch {tmp_path}/ready
while true; do sleep 0.05; done
"""
    )
    python.chmod(0o755)
    script = tmp_path / "launch" / "tpu" / "train.sh"
    first = subprocess.Popen(["bash", script, "--first"])
    while not (tmp_path / "ready").exists():
        assert first.poll() is None
    assert subprocess.run(["bash", script, "--second"], check=False).returncode == 75
    assert first.wait() == 75
    assert (tmp_path / "happened").read_text().split() == ["start", "--first", "saved", "start", "--second"]


def test_the_scripts_are_clean():
    shellcheck = shutil.which("shellcheck", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("needs shellcheck, of the extra dev")
    scripts = [*ROOT.glob("launch/*/*.sh"), *ROOT.glob("launch/*/*.sbatch")]
    done = subprocess.run([shellcheck, "--severity=warning", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
