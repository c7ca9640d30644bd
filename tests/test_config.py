"""Configurations are strict about fields and values, and can be copied, pickled and written as text."""

import contextlib
import copy
import numbers
import pickle

import hypothesis
import hypothesis.strategies as st
import pytest

from i2v_jax.config import Arguments, Field, UnknownFieldError, flat, stage_data
from i2v_jax.config_files import load
from i2v_jax.configs import common
from i2v_jax.errors import UserError


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


def test_a_stage_overrides_the_data_settings():
    config = load("sky", ["flow.data.jitter.hue=0.2", "flow.data.clips_per_video.train=3"])
    own = stage_data(config, "flow")
    assert (own.jitter.hue, own.clips_per_video.train) == (0.2, 3)
    assert (config.data.jitter.hue, config.data.clips_per_video.train) == (0.0, 1)
    assert stage_data(config, "video_vae").to_dict() == config.data.to_dict()
    assert stage_data(config, "image_ae").to_dict() == {**config.data.to_dict(), "frames": 1}
    config.data.flip = 0.25  # what a stage does not override follows
    assert stage_data(config, "flow").flip == 0.25


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
