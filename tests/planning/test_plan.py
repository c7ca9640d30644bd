"""Plans: their arithmetic, their files, their pages, and what is compiled again."""

import dataclasses
import math

import pytest

from i2v_jax.distributed.hosts import parse_hosts
from i2v_jax.errors import UserError
from i2v_jax.hlo.collectives import Collective
from i2v_jax.planning import records, sweep, topology
from i2v_jax.planning.cards import CARDS
from i2v_jax.planning.communication import all_reduce_seconds, seconds
from i2v_jax.planning.plan import Exchange, Memory, Plan, StepPlan
from i2v_jax.planning.scaling import scale
from i2v_jax.reports.plan_page import write_plans

GIB = 2**30


def plan(batch=32, temporaries=4 * GIB, refusal=""):
    memory = Memory(1 * GIB, 2 * GIB, 1 * GIB, 0, 0, GIB, 5 * GIB, temporaries, 0)
    exchanges = (Exchange("all-reduce", 16, 3, 1e9, 0.01),)
    step = StepPlan(("pretraining",), memory, 197e11, 819e8, 409.5e8, exchanges, (("conv", 5e9),), 60.0)
    return Plan("bair", "video_vae", "v5e:4x4", {"data": 16, "fsdp": 1}, batch, "bfloat16", "jax", (step,), refusal)


def test_times_are_those_of_the_data_sheet():
    (step,) = plan().steps
    times = plan().seconds(step)
    assert math.isclose(times.arithmetic, 0.1)
    assert math.isclose(times.memory, 0.1)
    assert math.isclose(times.step, 0.11)
    assert math.isclose(plan().clips_per_second(step), 32 / 0.11)


def test_traffic_of_the_state_does_not_grow_with_the_batch():
    (step,) = plan().steps
    assert math.isclose(plan().traffic_ratio(step, 32), 1.0)
    assert math.isclose(plan().traffic_ratio(step, 64), 0.75)


def test_the_largest_batch_fills_the_memory():
    # 15.25 GiB of a chip less 4 that do not grow; two clips of a chip take 4 + 1: 2 * 11.25 / 5 = 4.5
    assert plan().fits
    assert plan().estimated_largest_batch == 4 * 16
    assert not plan(temporaries=11 * GIB).fits
    assert plan(temporaries=11 * GIB).estimated_largest_batch == 16
    assert not plan(refusal="out of memory").fits


def test_an_all_reduce_takes_two_rounds_over_the_links():
    everyone = Collective("all-reduce", 10**9, (tuple(range(16)),), 1, "")
    half = CARDS["v5e"].link / 2  # the ends of a 4x4 slice are not linked
    assert math.isclose(seconds(everyone, CARDS["v5e"], (4, 4)), 2 * 15 / 16 * 1e9 / half)
    gather = dataclasses.replace(everyone, kind="all-gather", groups=((0, 1, 2, 3),))
    assert math.isclose(seconds(gather, CARDS["v5e"], (4, 4)), 3 / 4 * 1e9 / (half / 2))


def test_nodes_add_up_within_then_between():
    card = CARDS["h100"]
    within, between = 2 * 7 / 8 * 1e9 / card.link, 2 * 3 / 4 * 1e9 / 8 / card.network
    assert math.isclose(all_reduce_seconds(1e9, card, 32), within + between)
    assert math.isclose(all_reduce_seconds(1e9, card, 8), within)


def test_more_devices_do_more_but_wait_longer():
    small, large = (scale(plan(), devices, frames=17, size=64) for devices in (256, 4096))
    assert small.clips_per_second < large.clips_per_second < small.clips_per_second * 16
    assert large.batch == 4096 * 2
    assert 0 < large.efficiency < small.efficiency < 1


def test_records_are_what_was_written(tmp_path):
    records.write(tmp_path / "a.json", plan())
    assert records.read_all(tmp_path) == [plan()]
    (tmp_path / "b.json").write_text('{"config": "bair"}')
    with pytest.raises(UserError) as raised:
        records.read_all(tmp_path)
    assert raised.value.value == str(tmp_path / "b.json")


def test_the_page_says_what_the_plan_says(tmp_path):
    markdown = write_plans(tmp_path, [plan(), plan(refusal="Ran out of memory")])
    assert markdown == (tmp_path / "plan.md").read_text()
    for written in (markdown, (tmp_path / "index.html").read_text()):
        assert "9.00 of 15.25 GiB" in written
        assert "3 all-reduce" in written
        assert "Ran out of memory" in written


@pytest.mark.parametrize("name", ["v5e:4x4", "h100:8"])
def test_a_missing_compiler_is_an_error_of_the_topology(name, monkeypatch):
    monkeypatch.setattr(topology.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(UserError) as raised:
        topology.open_topology(name)
    assert (raised.value.field, raised.value.value) == ("topology", name)


@pytest.fixture
def compiled(monkeypatch):
    """Requests that were compiled; batches from 100 on do not fit."""
    requests = []

    def compile_plan(request, begun):
        requests.append((request.config.mesh.fsdp, request.batch))
        made = plan(request.batch, refusal="full" if request.batch > 100 else "")
        yield made
        yield dataclasses.replace(made, complete=True)

    monkeypatch.setattr(sweep, "compile_plan", compile_plan)
    monkeypatch.setattr(records, "compiler", lambda topology: "a compiler")
    return requests


SLICE = topology.Topology(parse_hosts("v5e:4x4"), CARDS["v5e"], range(16))


def test_a_sweep_grows_batches_until_one_does_not_fit(compiled, tmp_path):
    plans = list(sweep.Planner("bair:runlocal", [], tmp_path).sweep("flow", SLICE, [], []))
    assert compiled == [(fsdp, batch) for fsdp in (1, 4) for batch in (16, 32, 64, 128)]
    assert [each.batch for each in sweep.ranked(plans)][:2] == [64, 64]
    assert not sweep.ranked(plans)[-1].fits


def test_the_largest_batch_is_searched_for(compiled, tmp_path):
    planner = sweep.Planner("bair:runlocal", [], tmp_path)
    plans = list(planner.largest("flow", SLICE))
    assert [(each.batch, each.fits) for each in plans] == [
        (16, True), (32, True), (64, True), (128, False), (96, True), (112, False)
    ]  # fmt: skip
    small = sweep.Planner("bair:runlocal", ["flow.batch_size=160"], tmp_path)
    assert max(each.batch for each in small.largest("flow", SLICE) if each.fits) == 96


def test_what_was_compiled_is_not_compiled_again(compiled, tmp_path):
    planner = sweep.Planner("bair:runlocal", [], tmp_path)
    assert planner.plan("flow", SLICE, 16) == planner.plan("flow", SLICE, 16)
    assert len(compiled) == 1
    planner.plan("flow", SLICE, 16, mesh="data=-1,fsdp=2")
    sweep.Planner("bair:runlocal", ["flow.network.hidden=16"], tmp_path).plan("flow", SLICE, 16)
    assert compiled == [(1, 16), (2, 16), (1, 16)]


def test_a_plan_that_was_stopped_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "compiler", lambda topology: "a compiler")
    given = []

    def compile_plan(request, begun):
        given.append(begun)
        yield plan(16)
        if begun is None:
            raise KeyboardInterrupt
        yield dataclasses.replace(plan(16), complete=True)

    monkeypatch.setattr(sweep, "compile_plan", compile_plan)
    planner = sweep.Planner("bair:runlocal", [], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        planner.plan("flow", SLICE, 16)
    assert planner.plan("flow", SLICE, 16).complete
    assert given == [None, plan(16)]


def test_a_stage_that_does_not_exist(compiled, tmp_path):
    with pytest.raises(UserError) as raised:
        sweep.Planner("bair:runlocal", [], tmp_path).plan("poke", SLICE)
    assert (raised.value.field, raised.value.value) == ("stage", "poke")
