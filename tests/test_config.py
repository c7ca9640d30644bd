"""Every configuration builds, and fields, arguments and overrides are strict wherever they are given."""

import contextlib
import copy
import numbers
import pathlib
import pickle
import sys
from typing import get_args

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from i2v_jax import config as configs
from i2v_jax.config import Arguments, Field, UnknownFieldError, flat, load
from i2v_jax.configs import common, fields
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.models import bijectors, convgru, discriminators, poke_model, resnet2d, resnet3d
from i2v_jax.tasks import perceptual_loss, registry
from i2v_jax.training import optimizers, run

ROOT = pathlib.Path(__file__).parents[1]
TEXTURES = [f"dtdb:texture={name}" for name in ("clouds", "fire", "vegetation", "waterfall")]
QUICK = ["bair:control=endpoint", "landscape", "folder:demo", "sky:demo", "plants:model=cinn,demo"]
SLOW = ["bair", "iper", "landscape:size=64", *TEXTURES, "folder", "sky", "plants:model=cinn"]
ALL = [*QUICK, *(pytest.param(spec, marks=pytest.mark.slow) for spec in SLOW)]

POKE = [
    "plants",
    "plants:demo",
    "plants:demo,runlocal",
    "poking_plants:size=128",
    "taichi:ablation=two_levels",
    "human36m:ablation=rnn",
    "iper:model=poke,ablation=single_stage",
    "dtdb:texture=vegetation,model=poke",
    "folder:model=poke,ablation=no_trajectory",
]


@pytest.mark.parametrize("spec", ALL)
def test_every_stage_of_every_configuration_has_shapes(spec, monkeypatch):
    """Initialization of all networks under `eval_shape`: sizes, strides and widths fit."""
    monkeypatch.setattr(perceptual_loss.weights, "load", lambda name: {})
    config = load(spec)
    assert config.data.frames == 17
    size, modules = config.data.size, registry.build(config)
    video = jax.ShapeDtypeStruct((2, 17, size, size, 3), np.float32)
    batch = {"video": video, "direction": jax.ShapeDtypeStruct((2,), np.int32)}
    batch["endpoint"] = jax.ShapeDtypeStruct((2, 3), np.float32)
    shapes = {}
    for stage in ("video_vae", "image_ae"):
        task = run.make_task(config, stage, pathlib.Path(), steps_per_epoch=10)
        shapes[stage] = jax.eval_shape(task.init_variables, jax.random.key(0), batch)
    z = jax.ShapeDtypeStruct((2, config.video_vae.decoder.z_dim), np.float32)
    decoded = jax.eval_shape(
        modules["video_vae"]["decoder"].apply, shapes["video_vae"]["decoder"], video_frame(video), z
    )
    assert decoded.shape == (2, 16, size, size, 3)


@pytest.mark.parametrize("spec", POKE)
def test_every_poke_configuration_has_shapes(spec, monkeypatch):
    monkeypatch.setattr(perceptual_loss.weights, "load", lambda name: {})
    config = load(spec)
    frames = 6 if "demo" in spec else 11
    assert (config.stages, config.data.frames) == (("poke",), frames)
    assert not {"video_vae", "image_ae", "flow", "control"} & set(config.keys())
    size = config.data.size
    batch = {
        "video": jax.ShapeDtypeStruct((2, frames, size, size, 3), np.float32),
        "poke": jax.ShapeDtypeStruct((2, size, size, 2), np.float32),
        "is_background": jax.ShapeDtypeStruct((2,), np.bool_),
    }
    task = run.make_task(config, "poke", pathlib.Path(), steps_per_epoch=10)
    shapes = jax.eval_shape(task.init_variables, jax.random.key(0), batch)
    video = jax.eval_shape(task.respond, shapes, batch).video
    assert video.shape == (2, frames - 1, size, size, 3)


def test_the_ablations_of_the_poke_paper():
    model = load("human36m:ablation=rnn").poke.model
    assert (model.levels, model.bottleneck_cells) == (1, 3)
    assert load("taichi:ablation=two_levels").poke.model.levels == 2
    assert load("iper:model=poke,ablation=single_stage").poke.single_stage
    assert load("folder:model=poke,ablation=no_trajectory").poke.loss.latent == 0
    assert load("plants").poke.loss.latent == 0.1


def video_frame(video):
    return jax.ShapeDtypeStruct((video.shape[0], *video.shape[2:]), video.dtype)


def test_the_ablation_without_the_flow_has_one_stage_and_no_control():
    config = load("sky:ablation=no_cinn")
    assert config.stages == ("video_vae",)
    assert config.control == "none"
    with pytest.raises(UserError) as raised:
        load("sky:ablation=no_cinn,stage=flow")
    assert (raised.value.field, raised.value.value) == ("stage", "flow")


def test_ablations_of_the_decoder():
    fields = [("", True, True), ("ablation=no_start_frame", False, True), ("ablation=no_adain", True, False)]
    for argument, start_frame, adain in fields:
        decoder = load(f"bair:{argument}").video_vae.decoder
        assert (decoder.use_start_frame, decoder.use_adain) == (start_frame, adain)
    with pytest.raises(UserError) as raised:
        load("bair:ablation=rnn")
    assert (raised.value.field, raised.value.value) == ("ablation", "rnn")


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


def test_messages_name_the_nearest_fields():
    known = flat(load("sky").to_dict())
    for name, nearest in {
        "data.flipp": "data.flip",
        "flow.blocks": "flow.network.blocks",
        "train.kepe": "train.keep",
        "learning_rate": "flow.optimizer.learning_rate",
    }.items():
        with pytest.raises(UnknownFieldError) as raised:
            load("sky", [f"{name}=1"])
        words = str(raised.value).replace("?", "").split()
        assert nearest in words
        assert all(word in known for word in words if "." in word and word != f"{name}:")


def write_config(folder, body):
    (folder / "mine.py").write_text(
        "from i2v_jax.configs import common\n\n\ndef get_config(argument=''):\n"
        "    parsed = common.arguments(argument, size=64)\n    config = common.base(parsed.size)\n"
        f"    {body}\n    return common.finish(config, parsed)\n"
    )
    return f"{folder}/mine.py"


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
    with pytest.raises(ModuleNotFoundError, match="toy_nothing"):
        load("sky", ["plugins=toy_broken"])


def test_a_stage_overrides_the_data_settings():
    config = load("sky", ["flow.data.jitter.hue=0.2", "flow.data.clips_per_video.train=3"])
    own = configs.stage_data(config, "flow")
    assert (own.jitter.hue, own.clips_per_video.train) == (0.2, 3)
    assert (config.data.jitter.hue, config.data.clips_per_video.train) == (0.0, 1)
    assert configs.stage_data(config, "video_vae").to_dict() == config.data.to_dict()
    assert configs.stage_data(config, "image_ae").to_dict() == {**config.data.to_dict(), "frames": 1}
    config.data.flip = 0.25  # what a stage does not override follows
    assert configs.stage_data(config, "flow").flip == 0.25


def test_the_resolved_configuration_and_its_sources():
    rows = [line.split() for line in configs.explain("sky:demo", ["train.keep=3"]).splitlines()]
    sources = {row[0]: (row[1], row[2]) for row in rows}
    assert sources["train.keep"] == ("3", "line") or sources["train.keep"] == ("3", "command")
    assert sources["data.flip"] == ("0.0", "sky")
    assert sources["flow.network.blocks"] == ("8", ":demo")
    assert sources["flow.network.depth"] == ("2", "default")
    assert sources.keys() == flat(load("sky:demo").to_dict()).keys()
    table = configs.explain("sky:demo").splitlines()
    assert len({line.index(" default ") for line in table if " default " in line}) == 1


def test_a_configuration_can_be_copied_and_pickled():
    config = load("sky:demo")
    for again in (copy.deepcopy(config), config.copy_and_resolve_references(), pickle.loads(pickle.dumps(config))):
        assert again.to_dict() == config.to_dict()
        with pytest.raises(UnknownFieldError):
            again.data.flipp = 1.0
        again.data.flip = 0.75
        assert config.data.flip == 0.0
    assert not hasattr(config, "poke")
    assert config.get("poke") is None


def test_choices_are_those_of_the_code():
    assert get_args(resnet2d.Depth) == fields.RESNETS
    assert get_args(resnet3d.Depth) == fields.VIDEO_RESNETS
    assert get_args(discriminators.PatchNorm) == fields.PATCH_NORMS
    assert get_args(poke_model.Norm) == fields.POKE_NORMS
    assert fields.PERCEPTUAL_NETWORKS == perceptual_loss.NAMES
    assert fields.OPTIMIZERS == optimizers.OPTIMIZERS
    declared = common.base(32).declared
    assert declared("data.crop").choices == tuple(transforms.CROPS)
    assert declared("image_ae.encoder.norm").choices == get_args(resnet2d.Norm)
    assert declared("flow.network.scale").choices == get_args(bijectors.Scale)
    assert common.base(32, "poke").declared("poke.model.poke_over_time").choices == get_args(convgru.PokeOverTime)


def values_of(field):
    """A strategy of values that a field may have."""
    if field.choices:
        return st.sampled_from(field.choices)
    if isinstance(field.default, tuple):
        item = field.items or type(field.default[0])
        word = st.text("abc_.", min_size=1)
        items = {str: word, int: st.integers(1), numbers.Real: st.integers(0) | st.floats(0, allow_nan=False)}
        return st.lists(items[item]).map(tuple)
    return {
        bool: st.booleans(),
        str: st.text(),
        int: st.integers(field.at_least, field.at_most),
        float: st.floats(field.at_least, field.at_most, allow_nan=False),
    }[type(field.default)]


@hypothesis.given(st.data())
def test_every_value_comes_back_from_its_text(data):
    config = common.base(32, data.draw(st.sampled_from(("cinn", "poke", "classifier"))))
    name = data.draw(st.sampled_from(sorted(flat(config.to_dict()))))
    value = data.draw(values_of(config.declared(name)))
    config.set_text(name, str(value))
    assert flat(config.to_dict())[name] == value


@hypothesis.given(st.text(), st.text())
def test_no_text_is_anything_but_a_value_or_a_user_error(name, text):
    config = common.base(32)
    with contextlib.suppress(UserError):
        Arguments(text, size=Field(64, at_least=1), stage="", demo=False, pair=(1, 2), rate=0.5)
    with contextlib.suppress(UserError):
        load(f"sky:{text}", [f"{name}={text}"])
    for known in (
        name,
        "train.keep",
        "data.flip",
        "flow.encode_once",
        "stages",
        "plugins",
        "flow.optimizer.milestones",
    ):
        with contextlib.suppress(UserError):
            config.set_text(known, text)


def test_a_split_too_small_is_one_clear_line():
    config = load("sky:demo")
    config.data.num_clips.train = 3
    with pytest.raises(UserError) as raised:
        make_pipeline(open_split(config.data, "train"), config.data, batch_size=8, seed=0, train=True)
    assert (raised.value.field, raised.value.value) == ("batch_size", 8)


def test_control_by_pokes_needs_pokes_in_pixels():
    halves = ["data.poke.normalize=impulse", "poke.model.poke_over_time=impulse"]
    for half in halves:
        with pytest.raises(UserError) as raised:
            registry.build(load("plants:demo", [half]))
        assert raised.value.field == "poke.model.poke_over_time"
    registry.build(load("plants:demo", halves))
    unpoked, impulses = load("sky:demo"), load("plants:model=cinn,demo", ["data.poke.normalize=impulse"])
    unpoked.control = "poke"
    for config in (unpoked, impulses):
        with pytest.raises(UserError) as raised:
            registry.build(config)
        assert (raised.value.field, raised.value.value) == ("control", "poke")


def test_a_code_too_small_for_the_images_is_named_before_anything_is_trained():
    with pytest.raises(UserError) as raised:
        registry.build(load("bair", ["image_ae.encoder.z_dim=40"]))
    assert (raised.value.field, raised.value.value) == ("image_ae.encoder.z_dim", 40)
