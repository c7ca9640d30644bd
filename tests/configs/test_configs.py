"""Every config of the package makes networks whose shapes fit, and refuses what does not fit."""

import pathlib
from typing import get_args

import jax
import numpy as np
import pytest

from i2v_jax.config import stage_data
from i2v_jax.config_files import load
from i2v_jax.configs import common, fields, stage_fields
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input import clips, colors, transforms
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.models import bijectors, convgru, discriminators, poke_model, resnet2d, resnet3d
from i2v_jax.tasks import perceptual_loss, registry
from i2v_jax.training import optimizers, run

TEXTURES = [f"dtdb:texture={name}" for name in ("clouds", "fire", "vegetation", "waterfall")]

QUICK = ["bair:control=endpoint", "landscape", "folder:demo", "sky:bundled", "plants:model=cinn,demo"]
SLOW = ["bair", "iper", "landscape:size=64", *TEXTURES, "folder", "sky", "sky:demo", "plants:model=cinn"]
ALL = [*QUICK, *(pytest.param(spec, marks=pytest.mark.slow) for spec in SLOW)]

POKE = [
    "plants",
    "plants:bundled",
    "plants:demo,runlocal",
    "poking_plants:size=128",
    "taichi:ablation=two_levels",
    "human36m:ablation=rnn",
    "iper:model=sequence,size=128",
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
    frames = 6 if "demo" in spec or "bundled" in spec else 14 if "sequence" in spec else 11
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


def video_frame(video):
    return jax.ShapeDtypeStruct((video.shape[0], *video.shape[2:]), video.dtype)


def test_the_ablations_of_the_poke_paper():
    model = load("human36m:ablation=rnn").poke.model
    assert (model.levels, model.bottleneck_cells) == (1, 3)
    assert load("taichi:ablation=two_levels").poke.model.levels == 2
    assert load("iper:model=poke,ablation=single_stage").poke.single_stage
    assert load("folder:model=poke,ablation=no_trajectory").poke.loss.latent == 0
    assert load("plants").poke.loss.latent == 0.1


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


def test_a_preset_is_an_argument_that_the_configuration_names():
    assert (load("bair").preset, load("bair:preset=paper").preset) == ("default", "paper")
    with pytest.raises(UserError) as raised:
        load("bair:preset=published")
    assert (raised.value.field, raised.value.value) == ("preset", "published")
    with pytest.raises(UserError) as raised:  # as a field it would change nothing
        load("bair", ["preset=release"])
    assert (raised.value.field, raised.value.value) == ("preset", "release")


# Of the cINN's release: clips per video and epoch in training and in evaluation, jitter and its order of brightness,
# contrast, saturation and hue; per stage.
RELEASED = {
    "bair": ((1, 1, 1), (1, 1, 1), ((0.1, 0.1, 0.1, 0), (0.2, 0.2, 0.2, 0.1), (0.1, 0.1, 0.1, 0))),
    "iper": ((60, 100, 80), (15, 15, 15), ((0.2, 0.2, 0.2, 0), (0.1, 0.1, 0.2, 0), (0.2, 0.2, 0.2, 0))),
    "landscape": ((10, 20, 10), (7, 2, 7), ((0.3, 0.3, 0.3, 0.15), (0.3, 0.3, 0.3, 0.1), (0, 0, 0, 0))),
    **{
        texture: ((clips, clips, flow), (5, 5, 5), ((0.3, 0.3, 0.3, 0.15),) * 3)
        for texture, clips, flow in zip(TEXTURES, (100, 80, 55, 120), (50, 40, 40, 30), strict=True)
    },
}


@pytest.mark.parametrize("spec", RELEASED)
def test_every_stage_has_its_own_clips(spec):
    """The number of clips and their jitter are the release's under every preset; how they are made is its choice."""
    train, held_out, jitters = RELEASED[spec]
    colon = "," if ":" in spec else ":"
    for preset in common.PRESETS:
        config = load(f"{spec}{colon}preset={preset}")
        sections = [stage_data(config, stage) for stage in ("video_vae", "image_ae", "flow")]
        assert tuple(data.clips_per_video.train for data in sections) == train
        assert tuple(data.clips_per_video.eval for data in sections) == held_out
        names = ("brightness", "contrast", "saturation", "hue")
        assert tuple(tuple(data.jitter[name] for name in names) for data in sections) == jitters
        assert {data.crop_margin for data in sections} == {16 if config.data.size == 128 else 0}
        assert {data.flip for data in sections} == {0.5}
        released = preset != "default"
        starts = ("first" if spec in TEXTURES else "random") if released else "even"
        assert {data.eval_starts for data in sections} == {starts}
        assert {data.jitter.kind for data in sections} == {"kornia" if released else "affine"}
        assert {data.resize for data in sections} == {"release" if released else "area"}
        assert [config[stage].drop_last for stage in config.stages] == [True, True, not released]
        assert config.select == ("release" if released else "latest")
        assert bool(config.train.evaluate_metric) == released
        assert config.video_vae.loss.window == (16 if preset == "paper" else 12)


def test_the_augmentation_of_the_poke_release():
    config = load("iper:model=poke,preset=release")
    assert (config.data.jitter.hue, config.data.jitter.hue_forward) == (0.15, 0.3)
    assert config.data.poke.geometry.to_dict() == {
        "probability": 0.8, "rotation": 15.0, "shift": 0.05, "whole_pixels": True
    }  # fmt: skip
    assert (config.data.resize, config.select, config.train.ema) == ("release", "release", 0.0)
    assert not load("iper:model=poke").data.poke.geometry.whole_pixels


def test_choices_are_those_of_the_code():
    assert get_args(resnet2d.Depth) == stage_fields.RESNETS
    assert get_args(resnet3d.Depth) == stage_fields.VIDEO_RESNETS
    assert get_args(discriminators.PatchNorm) == stage_fields.PATCH_NORMS
    assert get_args(poke_model.Norm) == stage_fields.POKE_NORMS
    assert stage_fields.PERCEPTUAL_NETWORKS == perceptual_loss.NAMES
    assert stage_fields.OPTIMIZERS == optimizers.OPTIMIZERS
    declared = common.base(32).declared
    assert declared("data.crop").choices == tuple(transforms.CROPS)
    assert declared("data.resize").choices == transforms.RESIZES
    assert declared("data.eval_starts").choices == get_args(clips.StartRule)
    assert declared("data.jitter.kind").choices == colors.KINDS
    assert (*get_args(registry.Kept), "release") == fields.SELECTIONS
    assert declared("image_ae.encoder.norm").choices == get_args(resnet2d.Norm)
    assert declared("flow.network.scale").choices == get_args(bijectors.Scale)
    assert common.base(32, "poke").declared("poke.model.poke_over_time").choices == get_args(convgru.PokeOverTime)


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
