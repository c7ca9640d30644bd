"""Configs are found by name and by file, and what is wrong in one, or on a command line, is refused in one line."""

import pathlib
import sys

import numpy as np
import pytest

from i2v_jax.config import flat
from i2v_jax.config_files import explain, load
from i2v_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]


def write_config(folder, body):
    (folder / "mine.py").write_text(
        "from i2v_jax.configs import common\n\n\ndef get_config(argument=''):\n"
        "    parsed = common.arguments(argument, size=64)\n    config = common.base(parsed.size)\n"
        f"    {body}\n    return common.finish(config, parsed)\n"
    )
    return f"{folder}/mine.py"


def test_arguments_and_overrides():
    overrides = ["flow.network.blocks=4", "video_vae.encoder.stride_t=1,2,2,2", "data.flip=0", "seed=7"]
    config = load("landscape:size=64,stage=flow", [*overrides, "dtype=bfloat16", "flow.encode_once=true"])
    assert config.data.size == 64
    assert config.stage == "flow"
    assert config.flow.network.blocks == 4
    assert config.video_vae.encoder.stride_t == (1, 2, 2, 2)
    assert (config.data.flip, type(config.data.flip)) == (0.0, float)
    assert (config.seed, config.dtype, config.flow.encode_once) == (7, "bfloat16", True)


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ("landscape:sice=64", "sice", "64"),
        ("landscape:size=65", "size", 65),
        ("landscape:size=big", "size", "big"),
        ("landscape:size=64.7", "size", "64.7"),
        ("landscape:stage=gan", "stage", "gan"),
        ("landscape:flow.network.blocks=4", "flow.network.blocks", "4"),
        ("landscape:runlocal=perhaps", "runlocal", "perhaps"),
        ("dtdb:texture=smoke", "texture", "smoke"),
        ("dtdb_i3d:frames=17", "frames", 17),
        ("folder:model=gan", "model", "gan"),
        ("poking_plants:model=cinn", "model", "cinn"),
        ("plants:model=cinn,ablation=rnn", "ablation", "rnn"),
        ("folder:ablation=rnn", "ablation", "rnn"),
        ("iper:model=poke,ablation=no_cinn", "ablation", "no_cinn"),
        ("plants:stage=flow", "stage", "flow"),
        ("sea", "config", "sea"),
        ("configs/sea.py:size=64", "config", "configs/sea.py"),
        ("common", "config", "common"),
        ("", "config", ""),
    ],
)
def test_a_wrong_argument_is_one_line(spec, field, value):
    with pytest.raises(UserError) as raised:
        load(spec)
    assert (raised.value.field, raised.value.value) == (field, value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("flow.network.blocks=True", "flow.network.blocks", "True"),
        ("flow.network.blocks=4.0", "flow.network.blocks", "4.0"),
        ("video_vae.encoder.stride_t=1,2,2,2.5", "video_vae.encoder.stride_t", "1,2,2,2.5"),
        ("flow.encode_once=perhaps", "flow.encode_once", "perhaps"),
        ("train.keep=0", "train.keep", 0),
        ("data.flip=1.5", "data.flip", 1.5),
        ("data.flip=nan", "data.flip", "nan"),
        ("dtype=bfloat17", "dtype", "bfloat17"),
        ("data.flipp=0", "data.flipp", None),
        ("flow.blocks=4", "flow.blocks", None),
        ("flow=4", "flow", None),
        ("nothing.at.all=4", "nothing.at.all", None),
        ("seed.more=4", "seed.more", None),
        ("image_ae.data.flipp=0", "image_ae.data.flipp", None),
        ("image_ae.data.size=64", "image_ae.data.size", None),
        ("image_ae.data.jitter.hue=-1", "image_ae.data.jitter.hue", -1.0),
        ("train.keep", "train.keep", None),
        ("", "", None),
    ],
)
def test_a_wrong_override_is_one_line(override, field, value):
    with pytest.raises(UserError) as raised:
        load("landscape", [override])
    assert raised.value.field == field
    assert raised.value.value == value or (value == "nan" and np.isnan(raised.value.value))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("config.data.flipp = 0.5", "data.flipp"),
        ("config.video_vae.batchsize = 4", "video_vae.batchsize"),
        ("config.optimizer.lr = 1e-3", "optimizer"),
        ("config.flow.optimizer.update(lr=1e-3)", "flow.optimizer.lr"),
        ("config.data.update({'jitter': {'huge': 0.1}})", "data.jitter.huge"),
        ("config.data.flip = 'often'", "data.flip"),
        ("config.flow.network.blocks = True", "flow.network.blocks"),
        ("config.flow.network.blocks = 2.0", "flow.network.blocks"),
        ("config.train.keep = None", "train.keep"),
        ("config.flow = 4", "flow"),
        ("config.flow.data.nonsense = 4", "flow.data.nonsense"),
        ("config.flow.data.jitter.hue = 'x'", "flow.data.jitter.hue"),
    ],
)
def test_a_wrong_field_in_a_config_file_fails_as_on_the_command_line(tmp_path, body, field):
    with pytest.raises(UserError) as raised:
        load(write_config(tmp_path, body))
    assert raised.value.field == field
    assert "\n" not in str(raised.value)


def test_configs_are_found_by_name_and_by_file(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "sky.py").write_text("raise ValueError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert load("sky:demo").to_dict() == load(f"{ROOT}/configs/sky.py:demo").to_dict()
    mine = load(write_config(tmp_path, "config.data.name = 'mine'") + ":size=32")
    assert (mine.data.name, mine.data.size) == ("mine", 32)


def test_plugins_are_imported(tmp_path, monkeypatch):
    (tmp_path / "toy_plugin.py").write_text("import i2v_jax\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_plugin", raising=False)
    assert load("sky", ["plugins=toy_plugin"]).plugins == ("toy_plugin",)
    assert "toy_plugin" in sys.modules
    for missing in ("toy_plugout", "toy_plugin.inside"):
        with pytest.raises(UserError) as raised:
            load("sky", [f"plugins={missing}"])
        assert (raised.value.field, raised.value.value) == ("plugins", missing)
    (tmp_path / "toy_broken.py").write_text("import toy_nothing\n")
    with pytest.raises(ModuleNotFoundError) as missing_module:
        load("sky", ["plugins=toy_broken"])
    assert missing_module.value.name == "toy_nothing"


def test_the_resolved_configuration_and_its_sources():
    rows = [line.split() for line in explain("sky:demo", ["train.keep=3"]).splitlines()]
    sources = {row[0]: (row[1], row[2]) for row in rows}
    assert sources["train.keep"] == ("3", "line") or sources["train.keep"] == ("3", "command")
    assert sources["data.flip"] == ("0.0", "sky")
    assert sources["flow.network.blocks"] == ("8", ":demo")
    assert sources["flow.network.depth"] == ("2", "default")
    assert sources.keys() == flat(load("sky:demo").to_dict()).keys()
    table = explain("sky:demo").splitlines()
    assert len({line.rindex(" default  ") for line in table if " default  " in line}) == 1
