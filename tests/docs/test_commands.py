"""Commands and Python examples of README and docs run as they are written, in a folder that has what they name."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from i2v_jax import media
from i2v_jax.configs import folder as folder_config
from i2v_jax.configs import plants, sky
from i2v_jax.evaluation.records import write_records
from tests import compiling
from tests.docs.markdown import ROOT, Example, commands, snippets
from tests.evaluation.protocol_of_fvd import FVD
from tests.reports.test_comparison import record
from tests.sampling.random_run import write_run

pytestmark = pytest.mark.slow

# What does not run here, and what runs it: only its flags are parsed.
ELSEWHERE = {
    r"launch\.train ": "minutes to days; tests/end_to_end trains small models of the same configurations",
    r"launch\.demo ": "25 minutes; tests/launch/test_demo.py runs it with small models",
    r"launch\.tryout ": "does not end; tests/launch/test_tryout.py",
    r"launch\.evaluate ": "minutes; tests/launch/test_evaluate.py",
    r"launch\.plan ": "minutes, with a compiler; tests/planning/test_compiling.py",
    r"launch\.local_cluster ": "minutes; tests/end_to_end/test_local_cluster.py",
    r"launch\.serve ": "does not end; tests/launch/test_serve.py",
    r"launch\.weights --(fetch|import)": "needs the network or others' files; tests/pretrained/test_weights.py",
    r"launch\.(import|export)_torch ": "needs the release's files or widths; tests/torch_interop/releases",
    r"--flow=gmflow": "needs weights that are fetched; tests/data/test_flows.py",
    r"[ =]gs://": "needs a bucket; tests/buckets",
    r"--checkpoint=best": "needs a checkpoint that was evaluated; tests/sampling/test_load.py",
    r"launch\.prepare --dataset=(?!folder)": "needs those data sets; tests/data/test_builders.py",
}


def _here() -> list[Example]:
    examples = {tuple(example.words): example for example in commands() if example.module.startswith("launch.")}
    return [example for example in examples.values() if not any(re.search(p, _typed(example)) for p in ELSEWHERE)]


def _typed(example: Example) -> str:
    return " ".join([example.module, *example.arguments, ""])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the models, clips and images that the documentation names."""
    folder = tmp_path_factory.mktemp("docs")
    write_run(folder / "RUN", folder_config.get_config("demo,runlocal"))
    write_run(folder / "PLANTS", plants.get_config("demo,runlocal"))
    write_run(folder / "MANY", plants.get_config("model=cinn,demo,runlocal"))
    write_run(folder / "runs" / "demo" / "sky", sky.get_config("demo,runlocal"))
    for name in ("RUN", "RUN1", "RUN2"):
        (folder / name).mkdir(exist_ok=True)
        write_records(folder / name / "metrics.json", [record(FVD, name, 100.0)])
        (folder / name / "config.json").write_text((folder / "RUN" / "config.json").read_text())
    noise = np.random.default_rng(0).integers(0, 255, (18, 64, 64, 3), np.uint8)
    clips = ("a.mp4", "b.mp4", *(f"{place}/{name}.mp4" for place in ("CLIPS", "DTDB/fire", "DIR") for name in "abcd"))
    for clip in clips:
        media.write_mp4(folder / clip, noise)
    for image in ("a.jpg", "b.jpg", "a.png"):
        Image.fromarray(noise[0]).save(folder / image)
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


def _run(arguments: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**compiling.environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=compiling.HANG,
        check=False,
    )


def test_every_reason_is_for_a_command() -> None:
    for pattern in ELSEWHERE:
        assert any(re.search(pattern, _typed(example)) for example in commands() if example.module), pattern


@pytest.mark.parametrize("example", _here(), ids=lambda example: example.where)
def test_commands_run(example: Example, workplace: pathlib.Path) -> None:
    done = _run(["-m", f"i2v_jax.{example.module}", *example.arguments], workplace)
    assert done.returncode == 0, f"{example.text}\n{done.stderr}"
    for name in re.findall(r"--(?:out|data_dir)=(\S+)", example.text):
        assert (workplace / name).exists()


@pytest.mark.parametrize("example", snippets(), ids=lambda example: example.where)
def test_python_examples_run(example: Example, workplace: pathlib.Path) -> None:
    """After the commands, one of which writes the model.bin that an example reads."""
    done = _run(["-c", example.text], workplace)
    assert done.returncode == 0, f"{example.text}\n{done.stderr}"
