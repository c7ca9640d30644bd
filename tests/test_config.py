"""Every configuration builds, arguments are strict, and a work directory belongs to one configuration."""

import pathlib

import jax
import numpy as np
import pytest

from i2v_jax import config as configs
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.tasks import perceptual_loss, registry
from i2v_jax.training import run

ROOT = pathlib.Path(__file__).parents[1]
TEXTURES = [f"dtdb:texture={name}" for name in ("clouds", "fire", "vegetation", "waterfall")]
ALL = [
    "bair",
    "bair:control=endpoint",
    "iper",
    "landscape",
    "landscape:size=64",
    *TEXTURES,
    "folder",
    "folder:demo",
    "sky",
    "sky:demo",
    "plants:model=cinn",
    "plants:model=cinn,demo",
]


def load(spec):
    name, _, argument = spec.partition(":")
    return configs.load(f"{ROOT}/configs/{name}.py:{argument}")


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
    with pytest.raises(UserError, match="stage=flow: this config has the stages video_vae"):
        load("sky:ablation=no_cinn,stage=flow")


def test_ablations_of_the_decoder():
    fields = [("", True, True), ("ablation=no_start_frame", False, True), ("ablation=no_adain", True, False)]
    for argument, start_frame, adain in fields:
        decoder = load(f"bair:{argument}").video_vae.decoder
        assert (decoder.use_start_frame, decoder.use_adain) == (start_frame, adain)
    with pytest.raises(UserError, match="ablation=rnn: choose no_cinn, no_start_frame, no_adain"):
        load("bair:ablation=rnn")


def test_arguments():
    config = load(
        "landscape:size=64,stage=flow,flow.network.blocks=4,video_vae.encoder.stride_t=1;2;2;2,data.flip=0,seed=7,"
        "dtype=bfloat16,flow.encode_once"
    )
    assert config.data.size == 64
    assert config.stage == "flow"
    assert config.flow.network.blocks == 4
    assert config.video_vae.encoder.stride_t == (1, 2, 2, 2)
    assert (config.data.flip, type(config.data.flip)) == (0.0, float)
    assert (config.seed, config.dtype, config.flow.encode_once) == (7, "bfloat16", True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("landscape:sice=64", "unknown config argument 'sice'"),
        ("landscape:size=65", "size=65: the networks exist for 32, 64, 128"),
        ("landscape:size=big", "a value of type int is needed"),
        ("landscape:size=64.7", "size='64.7': a value of type int is needed"),
        ("landscape:flow.network.blocks=True", "flow.network.blocks='True': a value of type int is needed"),
        ("landscape:video_vae.encoder.stride_t=1;2;2;2.5", "a value of type tuple is needed"),
        ("landscape:stages=flow", "stages='flow': a value of type tuple is needed"),
        ("landscape:flow=4", "flow='4': a value of type ConfigDict is needed"),
        ("landscape:stage=gan", "stage=gan: this config has the stages video_vae, image_ae, flow"),
        (
            "landscape:flow.blocks=4",
            "'flow.blocks': this config takes .*size, stage and its fields .*flow.network.blocks",
        ),
        ("landscape:nothing.at.all=4", "unknown config argument 'nothing.at.all'"),
        ("dtdb:texture=smoke", "texture=smoke: choose one of clouds, fire, vegetation, waterfall"),
        ("folder:model=gan", "model=gan: this config has cinn, poke"),
        ("folder:model=poke,demo", "demo: of the poke model there is one on embedded plants, configs/plants.py:demo"),
        ("poking_plants:model=cinn", "model=cinn: this config has poke"),
        ("plants:model=cinn,ablation=rnn", "ablation=rnn: choose no_cinn, no_start_frame, no_adain"),
        ("folder:ablation=rnn", "ablation=rnn: choose no_cinn, no_start_frame, no_adain"),
        ("iper:model=poke,ablation=no_cinn", "choose one_level, two_levels, three_levels, rnn, single_stage, no_traj"),
        ("plants:stage=flow", "stage=flow: this config has the stages poke"),
        ("sea", "no config file"),
    ],
)
def test_wrong_arguments_are_one_clear_line(spec, message):
    with pytest.raises(UserError, match=message):
        load(spec)


def test_a_work_directory_belongs_to_one_configuration(tmp_path):
    configs.claim_workdir(load("sky:demo,flow.network.blocks=4"), tmp_path)
    configs.claim_workdir(load("sky:demo"), tmp_path)  # nothing was trained yet: a slip can be mended
    (tmp_path / "video_vae" / "checkpoints" / "100").mkdir(parents=True)
    again = load("sky:demo,stage=flow,train.log_every=7,flow.steps=9")
    configs.claim_workdir(again, tmp_path)  # how long and how often may change
    assert configs.read_workdir(tmp_path).to_dict() == again.to_dict()
    with pytest.raises(UserError, match=r"another configuration \(.*flow.network.blocks: 8 there, 4 here"):
        configs.claim_workdir(load("sky:demo,flow.network.blocks=4"), tmp_path)
    with pytest.raises(UserError, match=r"data\.size: 32 there, 64 here"):
        configs.claim_workdir(load("sky"), tmp_path)
    with pytest.raises(UserError, match=r"another configuration \(train\.ema: 0.98 there, 0.0 here"):
        configs.claim_workdir(load("sky:demo,train.ema=0"), tmp_path)  # the checkpoint holds averages, or none
    with pytest.raises(UserError, match=r"another configuration .*stages: .* there, .* here"):
        configs.claim_workdir(load("sky:demo,ablation=no_cinn"), tmp_path)


def test_an_import_can_be_trained_on_in_another_way(tmp_path):
    configs.claim_workdir(load("bair:size=64"), tmp_path)
    (tmp_path / "video_vae" / "checkpoints" / "0").mkdir(parents=True)
    for change in ("video_vae.decoder.channel_factor=16", "control=endpoint", "flow.network.blocks=4"):
        with pytest.raises(UserError, match=f"another configuration .{change.partition('=')[0]}: "):
            configs.claim_workdir(load(f"bair:size=64,{change}"), tmp_path)
    mine = load("bair:size=64,data.name=folder,video_vae.batch_size=2,video_vae.loss.kl=1e-3,flow.steps=7")
    configs.claim_workdir(mine, tmp_path)
    assert configs.read_workdir(tmp_path).to_dict() == mine.to_dict()
    (tmp_path / "video_vae" / "checkpoints" / "1").mkdir()
    with pytest.raises(UserError, match=r"another configuration .video_vae\.batch_size: 2 there, 3 here"):
        configs.claim_workdir(
            load("bair:size=64,data.name=folder,video_vae.loss.kl=1e-3,video_vae.batch_size=3"), tmp_path
        )


def test_a_work_directory_has_one_user_at_a_time(tmp_path):
    workdir, refused = tmp_path / "run", pytest.raises(UserError, match="another process is training in")
    with configs.sole_user(workdir), refused, configs.sole_user(workdir):
        pass
    with configs.sole_user(workdir):
        pass


def test_reading_what_is_not_a_work_directory(tmp_path):
    with pytest.raises(UserError, match="is not a work directory"):
        configs.read_workdir(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        configs.read_workdir(tmp_path)


def test_a_split_too_small_is_one_clear_line():
    config = load("sky:demo")
    config.data.num_clips.train = 3
    with pytest.raises(UserError, match="fewer than batch_size=8"):
        make_pipeline(open_split(config.data, "train"), config.data, batch_size=8, seed=0, train=True)


def test_control_by_pokes_needs_pokes_in_pixels():
    for half in ("data.poke.normalize=impulse", "poke.model.poke_over_time=impulse"):
        with pytest.raises(UserError, match=r"poke_over_time=\w+ and data\.poke\.normalize=\w+ do not go together"):
            registry.build(load(f"plants:demo,{half}"))
    registry.build(load("plants:demo,data.poke.normalize=impulse,poke.model.poke_over_time=impulse"))
    unpoked, impulses = load("sky:demo"), load("plants:model=cinn,demo,data.poke.normalize=impulse")
    unpoked.control = "poke"
    for config in (unpoked, impulses):
        with pytest.raises(UserError, match="control=poke needs clips with pokes"):
            registry.build(config)


def test_a_code_too_small_for_the_images_is_named_before_anything_is_trained():
    with pytest.raises(UserError, match=r"image_ae\.encoder\.z_dim=40: images of 64x64 need 41 or more"):
        registry.build(load("bair:image_ae.encoder.z_dim=40"))
