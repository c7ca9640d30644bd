"""Several processes on one machine, started by `launch.local_cluster`: they compute what one process computes."""

import json
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from i2v_jax.training.saved_networks import load_networks
from i2v_jax.training.writers import read_metrics
from i2v_jax.workdir import read_workdir
from tests import compiling
from tests.end_to_end import runs
from tests.launch.synthesis import ROOT

# Double precision shows the order of sums alone, see `test_devices.py`.
_DOUBLE = "dtype=float64"
_STEPS = 5
_SPECS = {
    "video_vae": "sky:runlocal,size=32,stage=video_vae",
    "image_ae": "sky:runlocal,size=32,stage=image_ae",
    "flow": "sky:runlocal,size=32,stage=flow flow.encode_once=False",
    "flow_encoded": "sky:runlocal,size=32,stage=flow flow.encode_once=True",
    "poke": "plants:demo,runlocal poke.single_stage=False",
    "classifier": "dtdb_i3d:runlocal",
}
_NEEDS = {"flow": ("video_vae", "image_ae"), "flow_encoded": ("video_vae", "image_ae")}
_LAYOUTS = {  # (processes, devices of each) -> mesh; both split parameters over processes
    (2, 2): "mesh.data=1 mesh.fsdp=4 mesh.fsdp_min_size=64",
    (4, 1): "mesh.data=2 mesh.fsdp=2 mesh.fsdp_min_size=64",
}


def start(processes: int, devices: int, command: str, *flags: str) -> subprocess.Popen[str]:
    """Starts processes in the background, in double precision; read their output with `runs.finish`."""
    program = [sys.executable, "-m", "launch.local_cluster", f"--processes={processes}", f"--command={command}"]
    return subprocess.Popen(
        [*program, f"--devices_per_process={devices}", "--", *flags],
        cwd=ROOT,
        env={**compiling.environment(), "JAX_ENABLE_X64": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _spec(name: str) -> str:
    stage = name.partition("_encoded")[0]
    every = " ".join(f"train.{what}_every={_STEPS}" for what in ("checkpoint", "evaluate", "preview"))
    return f"{_SPECS[name]} {stage}.steps={_STEPS} {every} train.ema=0 {_DOUBLE}"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory):
    """Returns a function: name of a spec -> the work directory that one process on one device trained."""
    folder = tmp_path_factory.mktemp("alone")

    def trained(name: str) -> pathlib.Path:
        if not (folder / name).exists():
            for needed in _NEEDS.get(name, ()):
                shutil.copytree(trained(needed) / needed, folder / name / needed)
            runs.train(_spec(name), folder / name, JAX_ENABLE_X64="1")
        return folder / name

    return trained


def _values(folder: pathlib.Path) -> list[dict[str, float]]:
    """Returns the losses and held-out metrics of a log, without gradient norms, which jump with a ReLU."""
    left_out = ("time", "gradient_norm", "system/")
    lines = [
        {name: value for name, value in line.items() if not name.startswith(left_out)} for line in read_metrics(folder)
    ]
    return [line for line in lines if len(line) > 1]  # others have only their step


@pytest.mark.long
@pytest.mark.parametrize("layout", _LAYOUTS, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("name", _SPECS)
def test_processes_train_like_one(name: str, layout: tuple[int, int], alone, tmp_path: pathlib.Path) -> None:
    """Metrics agree within float32, in which some of them are computed. An optimizer moves a parameter by about the
    learning rate in each step: with a row of the batch missing or twice, parameters would differ by that.
    """
    stage, one = name.partition("_encoded")[0], alone(name)
    for needed in _NEEDS.get(name, ()):
        shutil.copytree(one / needed, tmp_path / needed)
    flags = runs.train_command(f"{_spec(name)} {_LAYOUTS[layout]}", tmp_path)[3:]
    status, output = runs.finish(start(*layout, "train", *flags))
    assert status == 0, output
    lines, others = _values(one / stage), _values(tmp_path / stage)
    assert len(lines) == len(others) == _STEPS + 1
    for line, other in zip(lines, others, strict=True):
        assert other == pytest.approx(line, rel=1e-6, abs=1e-6), line["step"]
    params, other_params = (load_networks(folder / stage)["params"] for folder in (one, tmp_path))
    hundredth = read_workdir(one)[stage].optimizer.learning_rate / 100
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=hundredth), params, other_params)


@pytest.mark.long
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_measure_pokes_like_one(processes: int, alone, tmp_path: pathlib.Path) -> None:
    found = []
    for count in (1, processes):
        flags = [f"--workdir={alone('poke')}", "--protocol=targets", "--clips=4", f"--out={tmp_path / str(count)}"]
        status, output = runs.finish(start(count, 1, "evaluate", *flags))
        assert status == 0, output
        assert output.count("wrote ") == 1
        found.append(json.loads((tmp_path / str(count) / "numbers.json").read_text()))
    assert found[0] == found[1]
