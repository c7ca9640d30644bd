"""Throughput is what a clock and arithmetic say, and traces are written."""

import gzip
import itertools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.training import throughput
from i2v_jax.training.peaks import peak_flops
from i2v_jax.training.profile import Profiler, parse_steps
from i2v_jax.training.throughput import Throughput, summary
from tests.training.tiny import tiny_trainer


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("TPU v5 lite", 197),
        ("TPU v5", 459),
        ("TPU v4 lite", 138),
        ("TPU v6", None),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40S", 362),
        ("cpu", None),
    ],
)
def test_peaks(kind, teraflops):
    peak = peak_flops(kind)
    assert peak is None if teraflops is None else peak == teraflops * 1e12


def test_a_report(monkeypatch):
    """Ten seconds on two devices: 3 of saving, and two steps of a product, half of which waits for data."""
    clock = itertools.accumulate([0.0, 0.0, 3.0, 1.0, 2.5, 3.5, 0.0])
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock))
    device = types.SimpleNamespace(device_kind="TPU v4", memory_stats=lambda: {"peak_bytes_in_use": 3 * 2**30})
    mesh = types.SimpleNamespace(devices=np.array([device] * 2), local_devices=[device], size=2)
    measured = Throughput(8, mesh)
    program = jax.jit(jnp.matmul).lower(*[jax.ShapeDtypeStruct((64, 64), jnp.float32)] * 2).compile()
    measured.compiled(program, seconds=0.0)
    with measured.aside("save"):
        pass
    for _ in range(3):
        measured.begin_step(program)
    with measured.waiting():
        pass
    measured.end_steps(2)
    report = measured.report()
    flops = 2 * 64**3
    assert report == pytest.approx(
        {
            "step_seconds": 3.5,
            "examples_per_second_per_device": 8 / 3.5 / 2,
            "data_wait": 2.5 / 7,
            "teraflops": 2 * flops / 7 / 1e12,
            "mfu": 2 * flops / 7 / 275e12,
            "memory_peak_gib": 3.0,
            "compile_seconds": 0.0,
            "save_seconds": 3.0,
        },
        rel=1e-9,
    )
    assert summary(report) == "3500 ms, 1.14 examples/s/device, MFU 0%, waits for data 36%"


@pytest.mark.parametrize("text", ["", "10", "15:10", "0:3", "a:b", "1:2:3"])
def test_steps_that_cannot_be_profiled(text):
    with pytest.raises(UserError) as raised:
        parse_steps(text)
    assert (raised.value.field, raised.value.value) == ("profile_steps", text)


def traced(folder):
    """The steps in the only trace of a folder."""
    (run,) = (folder / "plugins" / "profile").iterdir()
    assert len(list(run.glob("*.xplane.pb"))) == 1
    with gzip.open(run / "perfetto_trace.json.gz") as file:
        events = json.load(file)["traceEvents"]
    return {int(event["args"]["step_num"]) for event in events if event.get("name") == "train"}


def test_a_trace_of_some_steps(tmp_path):
    measured = Throughput(1, jax.make_mesh((1,), ("data",), devices=jax.devices()[:1]))
    with Profiler(parse_steps("2:3"), tmp_path, measured) as profiler:
        for number in range(1, 6):
            with profiler.step(number) as outputs:
                outputs.append(jnp.ones(3) + number)
    assert traced(tmp_path) == {2, 3}


def test_a_trace_ends_with_the_training(tmp_path):
    assert tiny_trainer(tmp_path, 3, profile_steps=parse_steps("3:9")).run()
    assert traced(tmp_path / "profile") == {3}
