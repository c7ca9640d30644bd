"""Errors before the first stage name the field, its value, and the allowed values."""

import pathlib
import re

import jax
import pytest
from jax.sharding import AbstractMesh

from i2v_jax.config_files import load
from i2v_jax.configs import common
from i2v_jax.data.registry import open_split
from i2v_jax.distributed.mesh import AXES, make_mesh, mesh_sizes
from i2v_jax.errors import UserError
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.training import memory, preflight, run
from tests.training.tiny import MeanColor, tiny_config

ROOT = pathlib.Path(__file__).parents[2]
ALL = [path.stem for path in (ROOT / "configs").glob("*.py") if "def get_config(" in path.read_text()]


def mesh(devices=1):
    return make_mesh(common.base(32).mesh, jax.devices()[:devices])


@pytest.mark.parametrize("name", ALL)
def test_every_configuration_passes(name):
    preflight.check_config(load(name), mesh())


@pytest.mark.parametrize(
    ("spec", "overrides", "field", "value"),
    [
        ("bair", ["control=sideways"], "control", "sideways"),
        ("bair", ["video_vae.encoder.z_dim=32"], "video_vae.decoder.z_dim", 64),
        ("bair", ["video_vae.encoder.z_dim=33", "video_vae.decoder.z_dim=33"], "video_vae.encoder.z_dim", 33),
        ("bair", ["data.size=48"], "data.size", 48),
        ("bair", ["stage=poke"], "stage", "poke"),
        ("bair", ["mesh.rules=kernel=model"], "mesh.rules", "kernel=model"),
        ("plants", ["data.poke.normalize=impulse"], "poke.model.poke_over_time", "constant"),
    ],
)
def test_fields_that_do_not_fit_each_other(spec, overrides, field, value, tmp_path):
    with pytest.raises(UserError) as raised:
        preflight.check_config(load(spec, overrides), mesh())
    assert (raised.value.field, raised.value.value) == (field, value)
    config = load(spec, overrides)
    for stage in config.stages:
        config[stage].batch_size = 8
    with pytest.raises(UserError) as raised:
        run.train_stages(config, tmp_path / "run")
    assert (raised.value.field, raised.value.value) == (field, value)
    assert not (tmp_path / "run").exists()


def test_the_batches_of_all_stages_are_checked_before_the_first():
    config = load("bair", ["video_vae.batch_size=8", "image_ae.batch_size=32"])
    with pytest.raises(UserError) as raised:
        preflight.check_config(config, mesh(4))
    assert (raised.value.field, raised.value.value) == ("flow.batch_size", 50)
    config.stage = "image_ae"
    preflight.check_config(config, mesh(4))


@pytest.mark.parametrize(
    ("name", "control", "allowed"), [("sky", "endpoint", "none, direction"), ("textures", "direction", "none")]
)
def test_control_by_what_clips_do_not_carry(name, control, allowed):
    config = common.base(32)
    config.data.name = name
    config.data.num_clips.train = 4
    clips = make_pipeline(open_split(config.data, "train"), config.data, batch_size=2, seed=0, train=True)
    config.control = control
    with pytest.raises(UserError) as raised:
        preflight.check_control(config, clips)
    assert (raised.value.field, raised.value.value) == ("control", control)
    assert allowed in str(raised.value)
    config.control = allowed.rpartition(" ")[2]
    preflight.check_control(config, clips)


@pytest.mark.parametrize("document", ["docs/clusters/slurm.md", "launch/slurm/train.sbatch"])
def test_the_jobs_of_the_documents_fit_their_devices(document):
    job = r"--nodes=(\d+) .*?--gpus-per-node=(\d+) .*?--config=(\w+):devices=(\d+)"
    jobs = re.findall(job, (ROOT / document).read_text(), re.DOTALL)
    assert jobs
    for nodes, gpus, name, devices in jobs:
        assert int(nodes) * int(gpus) == int(devices)
        config = load(f"{name}:devices={devices}")
        preflight.check_config(config, AbstractMesh(mesh_sizes(config.mesh, int(devices)), AXES))


def test_the_parts_of_a_batch_are_checked_too():
    config = load("bair", ["video_vae.batch_size=16", "video_vae.accumulate=4", "stage=video_vae"])
    preflight.check_config(config, mesh(4))
    with pytest.raises(UserError) as raised:
        preflight.check_config(config, mesh(8))
    assert (raised.value.field, raised.value.value) == ("video_vae.batch_size", 16)


@pytest.mark.parametrize("stage", ["video_vae", "image_ae", "flow"])
def test_a_split_with_too_few_clips_for_a_later_stage_is_refused_before_the_first(stage, tmp_path):
    """For example the flow of `folder:demo` with a folder of one to four videos."""
    config = load("sky:demo")
    for name in config.stages:
        config[name].batch_size = 8
    config.data.num_clips.update(train=8, eval=8)
    config[stage].batch_size = 16
    with pytest.raises(UserError) as raised:
        run.train_stages(config, tmp_path / "run")
    assert (raised.value.field, raised.value.value) == (f"{stage}.batch_size", 16)
    assert "sky/train" in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_memory_that_the_machine_does_not_have_is_refused(tmp_path, monkeypatch):
    config = tiny_config()
    batch = {"video": jax.ShapeDtypeStruct((8, 2, 16, 16, 3), jax.numpy.float32)}
    needed = memory.estimate(MeanColor(), batch)
    assert 8 * 2 * 16 * 16 < needed < 2**20
    memory.check_memory("video_vae", lambda: pytest.fail("was made"), batch, available=2**40)
    memory.check_memory("video_vae", MeanColor, batch, available=needed)
    with pytest.raises(UserError) as raised:
        memory.check_memory("video_vae", MeanColor, batch, available=needed - 1)
    assert (raised.value.field, raised.value.value) == ("video_vae.batch_size", 8)

    monkeypatch.setattr(memory, "machine_memory", lambda: needed - 1)
    monkeypatch.setattr(run, "make_task", lambda *arguments: MeanColor())
    with pytest.raises(UserError):
        run.train_stages(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_memory_of_this_machine():
    assert 2**28 < memory.machine_memory() < 2**50
