"""Procedural textures are reproducible, look alike at rest, and move according to their kind."""

import pickle

import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.configs import dtdb_i3d
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input.classes import ClassifiedSource, class_names
from i2v_jax.input.pipeline import make_pipeline
from i2v_jax.input.procedural import textures

SIZE = 32


def test_a_clip_depends_on_its_number_alone():
    whole = textures.render("train", 4, SIZE, range(16))
    assert whole.shape == (16, SIZE, SIZE, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(textures.render("train", 4, SIZE, [7]), whole[7:8])
    assert not np.array_equal(textures.render("test", 4, SIZE, [0]), whole[:1])


def test_the_first_frame_says_nothing_about_the_kind():
    """At time 0 all kinds show the same pattern, except waves, which bend it."""
    stills = {kind: textures.render("train", 3, SIZE, [0], kind) for kind in textures.KINDS}
    for kind in ("rotation", "growth", "flicker", "sway"):
        np.testing.assert_array_equal(stills[kind], stills["drift"])
    assert stills["waves"].std() == pytest.approx(stills["drift"].std(), rel=0.2)


@pytest.mark.parametrize("kind", textures.KINDS)
def test_all_kinds_change_as_much(kind):
    """The mean change between neighboring frames, in gray levels, does not identify a kind."""
    changes = [
        np.abs(np.diff(textures.render("train", index, SIZE, range(16), kind).astype(float), axis=0)).mean()
        for index in range(12)
    ]
    assert 4 < np.mean(changes) < 9


def test_drift_moves_the_pattern_and_rotation_keeps_the_middle():
    drifting = textures.render("train", 0, 64, range(2), "drift").astype(float)
    turning = textures.render("train", 0, 64, range(2), "rotation").astype(float)
    middle, whole = (slice(28, 36),) * 2, (slice(None),) * 2
    inner = [np.abs(clip[1][middle] - clip[0][middle]).mean() for clip in (drifting, turning)]
    outer = [np.abs(clip[1][whole] - clip[0][whole]).mean() for clip in (drifting, turning)]
    assert inner[1] / outer[1] < 0.5 * inner[0] / outer[0]


def test_sway_comes_back():
    clip = textures.render("train", 1, SIZE, np.linspace(0, 13, 131), "sway").astype(float)
    distance = np.abs(clip[60:] - clip[0]).mean(axis=(1, 2, 3))
    assert distance.min() < 0.1 * distance.max()


def test_batches_carry_the_class_of_the_folder():
    config = load("dtdb_i3d:embedded,size=16", ["data.num_clips.eval=12"])
    pipeline = make_pipeline(open_split(config.data, "eval"), config.data, batch_size=12, seed=0, train=False)
    batch = next(pipeline.iterator())
    assert batch["video"].shape == (12, 16, 16, 16, 3)
    names = class_names(textures.TexturesSource("train", 12, 16, 16))
    assert names == tuple(sorted(textures.KINDS))
    assert [names[label] for label in batch["class"]] == [textures.kind_of(index) for index in batch["index"]]


def test_classes_that_cannot_be():
    with pytest.raises(UserError) as raised:
        class_names(textures.TexturesSource("train", 1, 16, 16))
    assert raised.value.field == "data.classified"
    source = textures.TexturesSource("test", 6, 16, 16)
    with pytest.raises(UserError) as raised:
        ClassifiedSource(source, ("drift", "rotation"))
    assert (raised.value.field, raised.value.value) == ("class", "growth/textures-test-000002")
    classified = ClassifiedSource(source, class_names(source))
    assert pickle.loads(pickle.dumps(classified)) == classified


@pytest.mark.parametrize(("argument", "value"), [("frames", 17), ("stage", "flow"), ("ablation", "x")])
def test_wrong_arguments(argument, value):
    with pytest.raises(UserError) as raised:
        dtdb_i3d.get_config(f"{argument}={value}")
    assert (raised.value.field, raised.value.value) == (argument, value)
