"""`python -m launch.evaluate` as a user runs it, on a work directory of untrained networks."""

import json
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from i2v_jax.config_files import load
from i2v_jax.configs import plants, sky
from i2v_jax.evaluation.records import compare, read_records
from i2v_jax.input.procedural import plants as plants_source
from i2v_jax.training.interrupt import INTERRUPTED
from tests import compiling
from tests.compiling import HANG
from tests.end_to_end import runs
from tests.input.helpers import write_frames
from tests.launch.synthesis import ROOT, last_line, launch
from tests.sampling.random_run import write_run


@pytest.fixture(scope="module")
def sky_run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns a work directory with twelve test clips."""
    folder = tmp_path_factory.mktemp("evaluate") / "sky_run"
    config = sky.get_config("demo,runlocal")
    config.data.num_clips.update(train=8, test=12)
    write_run(folder, config)
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """Sets an empty folder of pretrained weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("I2V_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _arguments(run: pathlib.Path, out: pathlib.Path, *more: str) -> tuple[str, ...]:
    return ("launch.evaluate", f"--workdir={run}", f"--out={out}", "--batch_size=2", "--save_every=1", *more)


@pytest.mark.slow
def test_numbers_table_curves_and_page(sky_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(*_arguments(sky_run, tmp_path, "--clips=4", "--shown=1", "--train_clips=4"))
    assert done.returncode == 0, done.stderr
    assert re.search("fvd.*i3d", done.stdout)
    assert "python -m launch.weights --fetch lpips" in done.stdout
    records = {record.protocol.metric: record for record in read_records(tmp_path / "metrics.json")}
    assert records.keys() == {"psnr", "ssim", "log_likelihood", "bits_per_dimension"}
    assert records["psnr"].model.name == "sky_run"
    assert records["psnr"].model.checkpoints == (
        "video_vae: step 4, the latest; image_ae: step 4, the latest; flow: step 4, the latest"
    )
    assert records["psnr"].protocol.protocol == "sky, first 4 clips"
    table = (tmp_path / "metrics.md").read_text()
    assert table.strip() in done.stdout
    assert f"{records['psnr'].mean:.2f}" in table
    page = (tmp_path / "index.html").read_text()
    files = set(re.findall(r'src="([^"]+)"', page))
    assert {path.name for path in tmp_path.glob("curve_*.png")} == {"curve_psnr.png", "curve_ssim.png"}
    assert page.count("<svg") == 2
    assert len([file for file in files if file.endswith(".mp4")]) == 2 * 4
    assert all((tmp_path / file).stat().st_size > 0 for file in files)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".png", ".mp4", ".html", ".csv"}


def test_missing_weights_of_a_requested_metric_are_one_line(sky_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = launch(*_arguments(sky_run, tmp_path / "out", "--metrics=fvd"))
    assert done.returncode == 2
    assert "python -m launch.weights --fetch i3d" in last_line(done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_release_quirks_reach_the_records_beside_earlier_ones(sky_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    usual = ("--metrics=psnr,log_likelihood", "--shown=0", "--clips=2")
    assert launch(*_arguments(sky_run, tmp_path, *usual)).returncode == 0
    before = read_records(tmp_path / "metrics.json")
    done = launch(*_arguments(sky_run, tmp_path, *usual, "--release_quirks", "--protocol=dtdb"))
    assert done.returncode == 0, done.stderr
    *kept, psnr, nats = read_records(tmp_path / "metrics.json")
    assert tuple(kept) == before
    assert (psnr.protocol.metric, nats.protocol.metric) == ("psnr", "log_likelihood_release")
    assert psnr.protocol.pairing.startswith("generated frame t with true frame t - 1; conditioned on")
    assert before[0].protocol.pairing.startswith("aligned; conditioned on")
    assert nats.protocol.layer == "log-determinant without the activations"
    assert len(list(tmp_path.glob("clips-*.csv"))) == 2


_COPIES = """
from i2v_jax.evaluation.evaluated_model import EvaluatedModel
EvaluatedModel.sample = lambda self, clips, numbers, seed, samples, frames: clips["video"][:, None, 1:1 + frames]
from launch import _app, evaluate
_app.run(evaluate.main, resumes=True)
"""


@pytest.mark.slow
def test_a_metric_without_a_number_fails_after_the_others_are_written(
    sky_run: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The PSNR of a model that copies the truth is infinite."""
    arguments = _arguments(sky_run, tmp_path, "--metrics=psnr,ssim", "--clips=2", "--shown=1", "--train_clips=0")[1:]
    command = [sys.executable, "-c", _COPIES, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=compiling.environment(), timeout=HANG, check=False
    )
    assert done.returncode == 2
    assert "psnr of clip 0 (sky-test-000000 from frame 0)" in last_line(done.stderr)
    assert "Traceback" not in done.stderr
    (record,) = read_records(tmp_path / "metrics.json")
    assert (record.protocol.metric, record.mean) == ("ssim", pytest.approx(1))
    (clips,) = tmp_path.glob("clips-*.csv")
    assert ",inf,1" in clips.read_text()
    assert (tmp_path / "index.html").is_file() and not list(tmp_path.glob("unfinished-*"))


@pytest.mark.slow
def test_answers_to_pokes_of_held_out_plants(sky_run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    one_answer, samples = tmp_path / "poke", tmp_path / "cinn"
    write_run(one_answer, plants.get_config("demo,runlocal"))
    write_run(samples, load("plants:model=cinn,demo,runlocal", ["data.breeze=0"]))
    done = launch("launch.evaluate", f"--workdir={samples}", "--clips=2", "--samples=2", f"--beside={one_answer}")
    assert done.returncode == 0, done.stderr
    numbers = json.loads((samples / "evaluations" / "targets" / "numbers.json").read_text())
    kinds = ("model", "deterministic", "reconstruction", "still", "translation", "truth")
    assert {f"target_error_{kind}" for kind in kinds} | {"diversity_model", "diversity_motion_model"} <= numbers.keys()
    assert numbers["samples"] == numbers["clips"] == 2
    assert numbers["diversity_model"] > 0 == numbers["diversity_deterministic"]
    assert f"{numbers['target_error_model']:.4f}" in done.stdout
    assert len(numbers["per_frame"]["ssim"]["model"]) == 16

    alone = launch("launch.evaluate", f"--workdir={one_answer}", "--clips=2", f"--out={tmp_path}")
    assert alone.returncode == 0, alone.stderr
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert found["target_error_model"] == pytest.approx(numbers["target_error_deterministic"])

    refused = launch("launch.evaluate", f"--workdir={sky_run}", "--protocol=targets", f"--out={tmp_path / 'none'}")
    assert refused.returncode == 2
    assert str(sky_run) in last_line(refused.stderr)


@pytest.mark.slow
def test_answers_to_pokes_of_clips_of_a_folder(tmp_path: pathlib.Path) -> None:
    for index in range(3):
        frames = plants_source.render("train", index, 32, range(0, 12, 2))
        write_frames(tmp_path / "raw" / f"v{index}", frames)
    out = tmp_path / "out"
    done = launch(
        "launch.prepare", "--dataset=folder", f"--raw_dir={tmp_path / 'raw'}", f"--data_dir={out}", "--min_frames=6"
    )
    assert done.returncode == 0, done.stderr
    config = load("folder:model=poke,size=32,runlocal", ["data.frames=6"])
    config.data.dir = str(out)
    write_run(tmp_path / "run", config)
    done = launch("launch.evaluate", f"--workdir={tmp_path / 'run'}", "--protocol=targets")
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "run" / "evaluations" / "targets" / "numbers.json").read_text())
    assert numbers["clips"] == 1
    kinds = ("model", "still", "translation")
    assert {f"{name}_{kind}" for name in ("target_error", "psnr_db", "ssim") for kind in kinds} <= numbers.keys()
    assert numbers["target_error_still"] > 1 > numbers["target_error_translation"]
    assert "background_motion_model" in done.stdout


_NUMBERS = ("--metrics=psnr,ssim,log_likelihood", "--shown=0", "--repeats=2")


def _assert_same(one: pathlib.Path, other: pathlib.Path) -> None:
    for a, b in zip(read_records(one / "metrics.json"), read_records(other / "metrics.json"), strict=True):
        assert compare(a, b).difference == pytest.approx(0, abs=1e-4 * abs(a.mean))
        assert a.values == pytest.approx(b.values, rel=1e-4)


@pytest.fixture(scope="module")
def undisturbed(sky_run: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Returns the results of one process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("evaluate") / "undisturbed"
    done = launch(*_arguments(sky_run, folder, *_NUMBERS))
    assert done.returncode == 0, done.stderr
    return folder


def _start(count: int, run: pathlib.Path, out: pathlib.Path) -> list[subprocess.Popen[str]]:
    """Starts an evaluation, and returns its processes when two batches are saved."""
    processes = runs.start_job(count, [sys.executable, "-m", *_arguments(run, out, *_NUMBERS)])
    runs.wait_until(lambda: len(list(out.glob("unfinished-*/clips-*.npz"))) >= 2, processes[0])
    return processes


def _check_that_it_goes_on(run: pathlib.Path, out: pathlib.Path, undisturbed: pathlib.Path) -> None:
    """Checks that one process continues an evaluation that was stopped, to the numbers of one that was not."""
    assert not (out / "metrics.json").exists()
    resumed = launch(*_arguments(run, out, *_NUMBERS))
    assert resumed.returncode == 0, resumed.stderr
    done = re.search(r"continuing after (\d+) of 12 clips", resumed.stderr + resumed.stdout)
    assert done is not None and int(done.group(1)) >= 4
    _assert_same(out, undisturbed)
    assert {path.name for path in out.iterdir()} == {path.name for path in undisturbed.iterdir()}


@pytest.mark.slow
def test_killed_and_run_again(sky_run: pathlib.Path, tmp_path: pathlib.Path, undisturbed: pathlib.Path) -> None:
    (process,) = _start(1, sky_run, tmp_path)
    process.kill()
    assert runs.finish(process)[0] == -signal.SIGKILL
    _check_that_it_goes_on(sky_run, tmp_path, undisturbed)


@pytest.mark.slow
def test_two_processes(sky_run: pathlib.Path, tmp_path: pathlib.Path, undisturbed: pathlib.Path) -> None:
    program, *flags = _arguments(sky_run, tmp_path, *_NUMBERS)
    done = launch("launch.local_cluster", f"--command={program.rpartition('.')[2]}", "--processes=2", "--", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    _assert_same(undisturbed, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())[0]["protocol"]["num_real"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("signaled", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_signal_to_one_of_two_processes_stops_both(
    sky_run: pathlib.Path, tmp_path: pathlib.Path, undisturbed: pathlib.Path, signaled: int
) -> None:
    processes = _start(2, sky_run, tmp_path)
    processes[signaled].send_signal(signal.SIGTERM)
    ends = [runs.finish(process) for process in processes]
    assert [status for status, _ in ends] == [INTERRUPTED] * 2, ends
    assert "Traceback" not in "".join(output for _, output in ends)
    _check_that_it_goes_on(sky_run, tmp_path, undisturbed)


# In a process of its own: commands define flags of the same names.
_OTHER_CLIPS = """
from absl import flags
from i2v_jax.config_files import load
from i2v_jax.launch import evaluate
flags.FLAGS(["evaluate", "--workdir=run", "--dataset=dtdb_vegetation"])
data = load("poking_plants:vegetation", ["data.dir=here", "data.mixture.dirs=there"]).data
evaluate._choose_clips(data)
print(data.name, data.dir, evaluate._folder("poke"))
"""


def test_clips_of_another_data_set_have_their_own_folder() -> None:
    done = subprocess.run([sys.executable, "-c", _OTHER_CLIPS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dtdb_vegetation", "there", "run/evaluations/poke_dtdb_vegetation"]
