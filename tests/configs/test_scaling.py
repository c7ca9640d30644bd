"""The configurations of docs/scaling.md for many devices are what it says, and can be trained."""

import math
import pathlib
import re

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from i2v_jax.config_files import load
from i2v_jax.configs import scaling
from i2v_jax.distributed import mesh as meshes
from i2v_jax.tasks import perceptual_loss
from i2v_jax.training import preflight
from i2v_jax.training.run import make_task
from i2v_jax.training.state import TrainState, state_sharding

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "scaling.md"
ROW = re.compile(r"^\| (`.*?) \| (\w+) \| (\d.*) \|$", re.MULTILINE)
ROWS = [
    (spec, stage, [cell.strip() for cell in cells.split("|")])
    for specs, stage, cells in ROW.findall(PAGE.read_text())
    for spec in re.findall("`(.*?)`", specs)
]
DEVICES = (8, 32, 256)


def adapted(spec, devices):
    return load(f"{spec}{',' if ':' in spec else ':'}devices={devices}")


def abstract_mesh(config, devices):
    return AbstractMesh(meshes.mesh_sizes(config.mesh, devices), meshes.AXES)


def test_the_page_has_every_stage_of_every_data_set():
    listed = {spec: {stage for other, stage, _ in ROWS if other == spec} for spec, *_ in ROWS}
    assert {"bair", "landscape", "poking_plants", "iper", "iper:model=poke", "dtdb_i3d"} <= listed.keys()
    for spec, stages in listed.items():
        assert stages == set(load(spec).stages)


@pytest.mark.parametrize(("spec", "stage", "cells"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_batches_and_rates_of_the_page(spec, stage, cells):
    """A row: reference batch and learning rate, then batch, clips per device and rate for each number of devices."""
    section = load(spec)[stage]
    assert cells[0] == f"{section.batch_size}, {section.optimizer.learning_rate:g}"
    for devices, cell in zip(DEVICES, cells[1:], strict=True):
        section = adapted(spec, devices)[stage]
        rate = section.optimizer.learning_rate * math.sqrt(section.batch_size / section.reference_batch)
        assert cell == f"{section.batch_size} ({section.batch_size // devices}), {rate:.2g}"


@pytest.mark.parametrize("devices", DEVICES)
@pytest.mark.parametrize("spec", dict.fromkeys(spec for spec, *_ in ROWS))
def test_configurations_for_devices_pass_preflight(spec, devices):
    config = adapted(spec, devices)
    preflight.check_config(config, abstract_mesh(config, devices))
    assert config.mesh.replica * scaling.NODE == devices


def test_numbers_of_devices_that_are_no_nodes():
    for devices, mesh in {1: (1, 1, 1), 4: (1, 4, 1), 12: (1, 12, 1)}.items():
        config = adapted("bair", devices)
        assert meshes.mesh_sizes(config.mesh, devices) == mesh
        preflight.check_config(config, abstract_mesh(config, devices))
    assert adapted("bair", 1).video_vae.batch_size == 8  # the power of two that is nearest to 10


def test_the_state_of_the_largest_stage_divides(monkeypatch):
    """Under `eval_shape`: a device of a node holds an eighth of the moments, and all of the parameters."""
    monkeypatch.setattr(perceptual_loss.weights, "load", lambda name: {})
    devices = 256
    config = adapted("bair", devices)
    batch = {"video": jax.ShapeDtypeStruct((config.video_vae.batch_size, 17, 64, 64, 3), np.float32)}
    task = make_task(config, "video_vae", pathlib.Path(), steps_per_epoch=10)
    networks = jax.eval_shape(task.init_variables, jax.random.key(0), batch)
    params = {name: tree["params"] for name, tree in networks.items()}
    shapes = TrainState(jax.ShapeDtypeStruct((), np.int32), params, {}, {"mu": params}, {})
    mesh = abstract_mesh(config, devices)
    shardings = state_sharding(mesh, shapes, config.mesh)

    def held(leaf, sharding):
        assert isinstance(sharding, NamedSharding)
        return math.prod(sharding.shard_shape(leaf.shape))

    parameters, moments = (
        sum(jax.tree.leaves(jax.tree.map(held, getattr(shapes, field), getattr(shardings, field))))
        for field in ("params", "opt_state")
    )
    whole = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert parameters == whole
    assert whole / 8 <= moments < 1.02 * whole / 8
    assert jax.tree.leaves(shardings.params)[0].spec == PartitionSpec()
