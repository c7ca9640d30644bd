"""The real compiler of machines that are not there takes the programs of small networks."""

import json

import pytest

from i2v_jax.planning import records
from tests.launch.synthesis import launch

pytestmark = pytest.mark.slow


def test_a_stage_is_planned_for_a_tpu(tmp_path):
    pytest.importorskip("libtpu", reason="the extra plan-tpu is not installed")
    command = ["launch.plan", "--config=bair:runlocal", "--config.dtype=bfloat16", "--stage=flow", f"--out={tmp_path}"]
    # Without the encoders, and with several rows on each chip: one row makes no matrix product.
    command += ["--config.flow.encode_once=true", "--batch=32"]
    first = launch(*command, "--topology=v5e:2x2", "--mesh=data=2,fsdp=2", "--config.mesh.fsdp_min_size=1000")
    assert first.returncode == 0, first.stderr
    (plan,) = records.read_all(tmp_path / "plans")
    (step,) = plan.steps
    assert (plan.stage, plan.batch, plan.fits, plan.complete) == ("flow", 32, True, True)
    assert plan.mesh == {"replica": 1, "data": 2, "fsdp": 2}
    assert step.flops > 0 and step.bytes > 0
    assert step.memory.arguments >= step.memory.parameters + step.memory.moments + step.memory.averages
    assert {exchange.kind for exchange in step.exchanges} >= {"all-reduce", "all-gather"}
    assert plan.estimated_largest_batch > plan.batch
    assert (
        json.loads(next((tmp_path / "plans").iterdir()).read_text())["compiler"]
        in (tmp_path / "index.html").read_text()
    )
