"""A sweep: its runs, their arguments, and the table of their results."""

import json

import pytest

from i2v_jax import sweeps
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import write_records
from i2v_jax.reports.comparison import compare_runs, read_runs, write_comparison
from i2v_jax.reports.sweep_table import sweep_tables
from tests.evaluation.protocol_of_fvd import FVD
from tests.launch.synthesis import launch
from tests.reports.test_comparison import record


def test_one_run_per_combination(tmp_path):
    runs = sweeps.plan("sky:demo", ["train.keep=1"], {"seed": "0,1", "flow.optimizer.learning_rate": "1e-3, 1e-4"})
    assert [run.name for run in runs] == [
        f"seed={seed},learning_rate={rate}" for seed in (0, 1) for rate in ("1e-3", "1e-4")
    ]
    sweeps.write(tmp_path, "sky:demo", ["train.keep=1"], runs)
    assert (tmp_path / "3.flags").read_text().splitlines() == [
        "--config=sky:demo", "--config.train.keep=1", "--config.seed=1", "--config.flow.optimizer.learning_rate=1e-4",
        f"--workdir={tmp_path}/seed=1,learning_rate=1e-4",
    ]  # fmt: skip
    assert sweeps.read(tmp_path) == runs


def test_values_with_commas_and_fields_of_the_same_name():
    swept = {"video_vae.encoder.stride_t": "1,1,2,2;1,2,2,2", "flow.steps": "1", "image_ae.steps": "2"}
    first, second = sweeps.plan("sky:demo", [], swept)
    assert first.name == "stride_t=1,1,2,2,flow.steps=1,image_ae.steps=2"
    assert second.values["video_vae.encoder.stride_t"] == "1,2,2,2"


@pytest.mark.parametrize(
    ("name", "values", "field"), [("seed", "1,1", "sweep."), ("sede", "1", "sede"), ("seed", "x", "seed")]
)
def test_what_is_refused(name, values, field):
    with pytest.raises(UserError) as raised:
        sweeps.plan("sky:demo", [], {name: values})
    assert raised.value.field == field
    with pytest.raises(UserError):
        sweeps.plan("sky:demo", [], {})


def test_a_folder_has_one_sweep(tmp_path):
    for _ in range(2):
        sweeps.write(tmp_path, "sky:demo", [], sweeps.plan("sky:demo", [], {"seed": "0,1"}))
    with pytest.raises(UserError) as raised:
        sweeps.write(tmp_path, "sky:demo", [], sweeps.plan("sky:demo", [], {"seed": "0,2"}))
    assert raised.value.value == str(tmp_path)


def test_the_table_of_results(tmp_path):
    assert sweep_tables([tmp_path]) == {}
    runs = sweeps.plan("sky:demo", [], {"seed": "0,1,2"})
    sweeps.write(tmp_path, "sky:demo", [], runs)
    for run, value in zip(runs[:2], (0.25, 0.125), strict=True):
        for stage, time in {"video_vae": 1.0, "flow": 2.0}.items():
            lines = [
                {"step": 10, "time": time, "eval/nll": 9.0}, {"step": 20, "time": time, "eval/nll": value},
                {"step": 30, "time": time, "nll": 1.0},
            ]  # fmt: skip
            folder = run.workdir(tmp_path) / stage
            folder.mkdir(parents=True)
            (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_records(runs[1].workdir(tmp_path) / "evaluations" / "bair" / "metrics.json", [record(FVD, "seed=1", 100.0)])
    tables = sweep_tables([tmp_path])
    text = write_comparison(compare_runs(read_runs([str(tmp_path)])), tmp_path / "out", tables)
    assert text.index("seed=2") < text.index("FVD")
    assert "not started" in (tmp_path / "out" / "index.html").read_text()
    (table,) = tables.values()
    assert table.header == ("run", "seed", "stage", "step", "nll")
    assert table.rows == (
        ("seed=0", "0", "flow", "30", "0.25"),
        ("seed=1", "1", "flow", "30", "0.125"),
        ("seed=2", "2", "not started", "", ""),
    )


def test_by_command(tmp_path):
    swept = launch("launch.sweep", "--config=sky:demo", f"--workdir={tmp_path}/sweep", "--sweep.seed=3,4")
    assert swept.returncode == 0, swept.stderr
    assert "--array=0-1" in swept.stdout
    printed = launch("launch.train", f"--flagfile={tmp_path}/sweep/1.flags", "--print_config")
    assert printed.returncode == 0, printed.stderr
    assert any(line.split()[:2] == ["seed", "4"] for line in printed.stdout.splitlines())
