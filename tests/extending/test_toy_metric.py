"""A metric that is registered from outside is evaluated like any other."""

import dataclasses

import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.errors import UserError
from i2v_jax.evaluation import results
from i2v_jax.evaluation.measure import Request, measure
from i2v_jax.evaluation.protocols import get_protocol
from i2v_jax.evaluation.records import read_records
from i2v_jax.metrics.registry import METRICS, register
from i2v_jax.reports.evaluation_page import write_clips, write_numbers
from tests.evaluation.conftest import model, whole  # noqa: F401 (fixtures)
from tests.extending import toy_metric
from tests.launch.synthesis import launch
from tests.sampling.random_run import write_run


def test_an_evaluation_with_a_metric_from_outside(model, tmp_path):  # noqa: F811
    request = Request(get_protocol("sky"), ("psnr", "brightness_error"), clips=4)
    measured = measure(model, request, tmp_path, batch_size=2)
    found = results.records(model, measured)
    write_numbers(tmp_path, found)
    _, record = read_records(tmp_path / "metrics.json")
    assert record == found[1] and record.protocol.metric == "brightness_error"
    example_ids = range(4)
    clips = measured.reader.read(example_ids)
    samples = model.sample(clips, example_ids, seed=0, samples=1, frames=16)[:, 0]
    levels = 127.5 * np.abs(clips["video"][:, 1:].mean(axis=(2, 3, 4)) - samples.mean(axis=(2, 3, 4)))
    np.testing.assert_allclose(record.curve, levels.mean(axis=0), rtol=1e-3, atol=1e-3)
    assert record.mean == pytest.approx(levels.mean(), rel=1e-3)
    assert (tmp_path / "curve_brightness_error.png").is_file()
    assert "Brightness error (levels)" in (tmp_path / "metrics.md").read_text()
    path = write_clips(tmp_path, model, measured)
    assert path is not None and "brightness_error" in path.read_text().splitlines()[0]
    only = dataclasses.replace(measured, request=dataclasses.replace(request, metrics=("brightness_error",)))
    assert results.ranking(only)[0] == "brightness_error"


@pytest.mark.slow
def test_the_command_evaluates_with_a_plugin(tmp_path):
    run = tmp_path / "run"
    write_run(run, load("sky:demo,runlocal", [f"plugins={toy_metric.__name__}", "data.num_clips.test=4"]))
    done = launch("launch.evaluate", f"--workdir={run}", "--metrics=brightness_error", "--clips=2", "--train_clips=0")
    assert done.returncode == 0, done.stderr
    (record,) = read_records(run / "evaluations" / "sky" / "metrics.json")
    assert record.protocol.metric == "brightness_error" and record.mean > 0
    assert "Brightness error (levels)" in done.stdout


def test_a_name_is_taken_once():
    taken = toy_metric.BrightnessError(name="psnr", title="PSNR", full_name="another")
    with pytest.raises(UserError) as raised:
        register(taken)
    assert raised.value.value == "psnr"
    assert isinstance(METRICS["brightness_error"], toy_metric.BrightnessError)
