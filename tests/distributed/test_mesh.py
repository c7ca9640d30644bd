"""Meshes have the devices and the order that the configuration asks for; rules split arrays as they say."""

import re
import types

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from i2v_jax import logs
from i2v_jax.configs import common
from i2v_jax.distributed import mesh as meshes
from i2v_jax.errors import UserError
from i2v_jax.training.state import TrainState, state_sharding


def mesh_config(**changes):
    config = common.base(32).mesh
    config.update(changes)
    return config


@pytest.mark.parametrize(
    ("fields", "sizes"),
    [
        ({}, (1, 32, 1)),
        ({"fsdp": 4}, (1, 8, 4)),
        ({"replica": 4, "fsdp": -1, "data": 1}, (4, 1, 8)),
        ({"replica": -1, "data": 8}, (4, 8, 1)),
    ],
)
def test_minus_one_is_the_rest(fields, sizes):
    assert meshes.mesh_sizes(mesh_config(**fields), 32) == sizes


@pytest.mark.parametrize("fields", [{"data": 3}, {"replica": -1}, {"data": 0}, {"fsdp": 64}])
def test_a_mesh_that_does_not_fit_the_devices(fields):
    config = mesh_config(**fields)
    with pytest.raises(UserError) as raised:
        meshes.make_mesh(config, jax.devices())
    assert (raised.value.field, raised.value.value) == ("mesh", (config.replica, config.data, config.fsdp))


def slices(count, each):
    """Returns stand-ins for the devices of slices, as TPUs and nodes of GPUs number theirs, in mixed order."""
    devices = [
        types.SimpleNamespace(
            id=index, slice_index=index // each, platform="gpu", device_kind="a card", process_index=0
        )
        for index in range(count * each)
    ]
    return [devices[index] for index in np.random.default_rng(0).permutation(len(devices))]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [((4, 8, 1), 4), ((1, 32, 1), 4), ((2, 4, 4), 4), ((8, 2, 2), 4), ((1, 1, 32), 2), ((3, 4, 2), 6)],
)
def test_the_first_axes_cross_slices(sizes, count):
    """As few neighbors as possible along the last axes are on different slices."""
    each = int(np.prod(sizes)) // count
    arranged = meshes.arrange(sizes, slices(count, each))
    assert arranged.shape == sizes
    places = np.array([device.slice_index for device in arranged.ravel()])
    assert sorted(device.id for device in arranged.ravel()) == list(range(count * each))
    np.testing.assert_array_equal(places.reshape(count, each), np.arange(count)[:, None] * np.ones((1, each)))


MESH = AbstractMesh((2, 4, 2), meshes.AXES)


@pytest.mark.parametrize(
    ("shape", "axes", "spec"),
    [
        ((3, 3, 64, 128), ("fsdp",), P(None, None, None, "fsdp")),
        ((128, 128), ("fsdp",), P("fsdp", None)),
        ((128, 128), ("fsdp", "data"), P("fsdp", "data")),
        ((8, 7), ("fsdp", "data"), P(("fsdp", "data"), None)),
        ((2, 9), ("fsdp", "data"), P("fsdp", None)),
        ((7,), ("fsdp", "data"), P()),
        ((), ("fsdp",), P()),
    ],
)
def test_the_largest_dimension_is_split(shape, axes, spec):
    assert meshes.split_largest(shape, axes, MESH) == spec


@pytest.mark.parametrize(
    ("rule", "spec"),
    [
        ("decoder/.*kernel=replicated", P()),
        ("kernel$=fsdp", P(None, None, None, "fsdp")),
        ("kernel$=data:2", P(None, None, "data", None)),
        ("a(?=b)|kernel=fsdp+data:-1", P(None, None, None, ("fsdp", "data"))),
    ],
)
def test_rules_say_how_arrays_are_split(rule, spec):
    (parsed,) = meshes.parse_rules([rule])
    assert parsed.pattern.search("params/decoder/block0/conv0/kernel")
    assert parsed.spec("params/decoder/block0/conv0/kernel", (3, 3, 64, 128), MESH) == spec


@pytest.mark.parametrize(
    "rule", ["kernel", "kernel=model", "(=fsdp", "kernel=fsdp:last", "kernel=fsdp+fsdp", "kernel="]
)
def test_rules_that_are_none(rule):
    with pytest.raises(UserError) as raised:
        meshes.parse_rules(["bias=replicated", rule])
    assert (raised.value.field, raised.value.value) == ("mesh.rules", rule)


@pytest.mark.parametrize("dimension", [0, 4])
def test_a_rule_that_does_not_fit_an_array(dimension):
    (rule,) = meshes.parse_rules([f"kernel=data:{dimension}"])
    with pytest.raises(UserError) as raised:
        rule.spec("params/kernel", (3, 3, 64, 128), MESH)
    assert (raised.value.field, raised.value.value) == ("mesh.rules", f"kernel=data:{dimension}")


def specs(**fields):
    """Returns name -> spec of a small state, without arrays that are whole on every device."""
    kernel, moments = jax.ShapeDtypeStruct((16, 4), np.float32), jax.ShapeDtypeStruct((16, 4), np.float32)
    bias = jax.ShapeDtypeStruct((4,), np.float32)
    params = {"net": {"kernel": kernel, "bias": bias}}
    opt_state = {"net": {"mu": {"kernel": moments, "bias": bias}}}
    state = TrainState(jax.ShapeDtypeStruct((), np.int32), params, {"net": {}}, opt_state, {"net": params["net"]})
    shardings = state_sharding(MESH, state, mesh_config(fsdp_min_size=8, **fields))
    flat = jax.tree_util.tree_flatten_with_path(shardings)[0]
    names = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.spec for path, leaf in flat}
    return {name: spec for name, spec in names.items() if spec != P()}


def test_parameters_moments_and_averages():
    kernels = ("params/net/kernel", "opt_state/net/mu/kernel", "ema/net/kernel")
    assert specs() == dict.fromkeys(kernels, P("fsdp", None))
    zero = specs(shard_optimizer=True)
    assert zero == {kernels[0]: P("fsdp", None), **dict.fromkeys(kernels[1:], P(("fsdp", "data"), None))}
    assert specs(rules=("^ema=replicated", "net/.*bias=data", "ema/net/kernel=fsdp:0")) == {
        "params/net/kernel": P("fsdp", None),
        "opt_state/net/mu/kernel": P("fsdp", None),
        "opt_state/net/mu/bias": P("data"),
        "params/net/bias": P("data"),
    }


def test_a_rule_that_decides_nothing_is_named(capsys):
    logs.show()
    specs(rules=("kernle=replicated",))
    assert re.search("kernle=replicated", capsys.readouterr().out)
