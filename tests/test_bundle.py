"""The file of a trained model: what was written is read, and everything else is one line."""

import dataclasses
import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save

from i2v_jax import bundle
from i2v_jax.bundle import Card
from i2v_jax.errors import UserError
from i2v_jax.workdir import read_workdir

CARD = Card(
    name="toy", summary="a toy", data="toys", data_license="free", citation="", commands=("i2v train",),
    checkpoints=("flow: step 4, the latest",), step=4, checkpoint_sha256="0" * 64, license="MIT", version="0.1.0",
    metrics=({"mean": 1.5},), numbers={"error": 0.25},
)  # fmt: skip
ARRAYS = {
    "flow/flow/params/kernel": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
    "flow/flow/params/bias": np.arange(3).astype(ml_dtypes.bfloat16),
    "flow/flow/params/scale": np.array(0.5, np.float16),
    "flow/flow/buffers/permutation": np.arange(4),
}
CONFIG = {"stages": ["flow"], "data": {"size": 16}}


@pytest.fixture
def file(tmp_path):
    bundle.write(tmp_path / "toy.i2v", ARRAYS, CONFIG, CARD)
    return tmp_path / "toy.i2v"


def test_what_was_written_is_read(file, tmp_path):
    assert bundle.read_card(file) == CARD
    assert bundle.read_config(file) == CONFIG
    arrays = bundle.read_arrays(file)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    bundle.write(tmp_path / "again.i2v", dict(reversed(ARRAYS.items())), CONFIG, CARD)
    assert (tmp_path / "again.i2v").read_bytes() == file.read_bytes()


def test_who_may_read_a_folder_s_files_may_read_it(file, tmp_path):
    (tmp_path / "other").touch()
    assert file.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_which_paths_mean_a_file(file, tmp_path):
    (tmp_path / "folder.i2v").mkdir()
    assert all(map(bundle.is_bundle, (file, str(file), "bundled:toy", "missing.i2v")))
    assert not any(map(bundle.is_bundle, (tmp_path, tmp_path / "folder.i2v", "missing", "runs/bundled")))


def test_a_work_directory_is_needed_to_train(file, tmp_path):
    bundle.require_folder(tmp_path, "why")
    with pytest.raises(UserError) as raised:
        bundle.require_folder(file, "it does not hold the state of training")
    assert (raised.value.field, raised.value.value) == ("workdir", str(file))


def test_bundled_names(file, monkeypatch):
    monkeypatch.setattr(bundle, "_FOLDER", file.parent)
    assert bundle.bundled_names() == ["toy"]
    assert bundle.read_card("bundled:toy") == CARD
    assert read_workdir("bundled:toy").stages == ("flow",)
    with pytest.raises(UserError) as raised:
        bundle.read_card("bundled:dog")
    assert raised.value.value == "bundled:dog" and "bundled:toy" in str(raised.value)


def changed(content: bytes, offset: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]


def other_format(content: bytes) -> bytes:
    return content.replace(b'\\"format\\": 1,', b'\\"format\\": 2,')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "damaged"),
        (lambda content: content[:100], "damaged"),
        (lambda content: content[:-1], "damaged"),
        (lambda content: content + b"0", "damaged"),
        (lambda content: changed(content, len(content) - 1), "checksum"),
        (lambda content: content.replace(b"a toy", b"a tea"), "checksum"),
        (lambda content: content.replace(b'\\"stages\\"', b'\\"stagex\\"'), "checksum"),
        (lambda content: content.replace(b'\\"card\\"', b'\\"cart\\"'), "metadata"),
        (lambda content: content.replace(b'\\"sha256\\"', b'\\"sha257\\"'), "metadata"),
        (lambda content: b"\x89PNG\r\n\x1a\n" + b"0" * 200, "damaged"),
        (lambda content: b"\x80\x04}q\x00.", "damaged"),  # a pickle
        (lambda content: save({"weight": np.zeros(3)}, {"format": "pt"}), "something else"),
        (lambda content: save({"weight": np.zeros(3)}, {"i2v_jax": "[1]"}), "damaged"),
        (other_format, "newer version"),
    ],
)
def test_what_is_no_such_file_is_one_line(damage, words, file):
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert file.read_bytes() != content
    with pytest.raises(UserError) as raised:
        bundle.read_arrays(file)
    assert raised.value.value == str(file)
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_and_one_that_cannot_be_written(file, tmp_path):
    with pytest.raises(UserError) as raised:
        bundle.read_config(tmp_path / "none.i2v")
    assert raised.value.value == str(tmp_path / "none.i2v")
    with pytest.raises(UserError):
        bundle.write(file / "toy.i2v", ARRAYS, CONFIG, CARD)
    assert bundle.read_card(file) == CARD


def test_fields_of_later_cards_are_left_out():
    content = json.loads(json.dumps(dataclasses.asdict(CARD))) | {"mood": "sunny"}
    assert Card.from_json(content) == CARD
