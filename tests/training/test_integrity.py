"""A checkpoint that was damaged is found, named and set aside, and training continues from the one before."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.training.events import read_events, record
from i2v_jax.training.saved_networks import latest_intact_step, load_config, load_networks
from i2v_jax.training.writers import read_metrics
from tests.training.tiny import tiny_trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A stage with the checkpoints 3 and 6."""
    folder = tmp_path_factory.mktemp("integrity") / "trained"
    tiny_trainer(folder, 6).run()
    return folder


@pytest.fixture
def stage(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "stage")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def delete(path):
    path.unlink()


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def checkpoint_files(checkpoint, *folders):
    return [path for folder in folders for path in sorted((checkpoint / folder).rglob("*")) if path.is_file()]


@pytest.mark.parametrize("harm", [cut, delete, zero, flip_a_bit])
def test_any_damage_to_any_file_is_found(trained, tmp_path, caplog, harm):
    names = [
        path.relative_to(trained)
        for path in checkpoint_files(trained / "checkpoints" / "6", "networks", "optimizer", "data", "config")
        if path.name != "commit_success.txt"
    ]
    assert len(names) > 10
    for index, name in enumerate(names):
        stage = shutil.copytree(trained, tmp_path / str(index))
        harm(stage / name)
        if name.parts[2] == "networks":
            with pytest.raises(UserError) as raised:
                load_networks(stage)
            assert raised.value.value == str(stage / "checkpoints" / "6")
        assert latest_intact_step(stage) == 3
        assert (stage / "damaged" / "6").is_dir() and not (stage / "checkpoints" / "6").exists()
        assert load_networks(stage)["step"] == 3


def test_training_continues_from_the_checkpoint_before(trained, stage):
    arrays = max(checkpoint_files(stage / "checkpoints" / "6", "networks"), key=lambda path: path.stat().st_size)
    flip_a_bit(arrays)
    assert latest_intact_step(stage) == 3
    assert read_events(stage)[-1]["event"] == "checkpoint set aside" and read_events(stage)[-1]["step"] == 6
    tiny_trainer(stage, 6).run()
    assert latest_intact_step(stage) == 6
    jax.tree.map(np.testing.assert_array_equal, load_networks(stage), load_networks(trained))
    assert [line["step"] for line in read_metrics(stage)] == [line["step"] for line in read_metrics(trained)]


def test_a_stage_whose_checkpoints_are_all_damaged_begins_again(stage):
    for step in ("3", "6"):
        zero(checkpoint_files(stage / "checkpoints" / step, "optimizer")[0])
    assert latest_intact_step(stage) == 0
    assert sorted(path.name for path in (stage / "damaged").iterdir()) == ["3", "6"]
    with pytest.raises(UserError):
        load_networks(stage)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"score": "high"}'])
def test_damaged_metrics_cost_the_score_and_nothing_else(stage, content):
    for step in ("3", "6"):
        (stage / "checkpoints" / step / "metrics" / "metrics").write_text(content)
    with pytest.raises(UserError) as raised:
        load_networks(stage, step="best")
    assert raised.value.field == "checkpoint"
    assert latest_intact_step(stage) == 6
    assert sorted(path.name for path in (stage / "damaged").iterdir()) == ["3-metrics", "6-metrics"]
    tiny_trainer(stage, 9).run()
    assert load_networks(stage, step="best")["step"] == 9


def test_a_damaged_configuration_of_a_checkpoint(stage):
    (path,) = (path for path in checkpoint_files(stage / "checkpoints" / "6", "config") if path.name == "metadata")
    flip_a_bit(path)
    with pytest.raises(UserError) as raised:
        load_config(stage)
    assert raised.value.value == str(stage / "checkpoints" / "6")


def test_a_checkpoint_from_before_there_were_checksums(stage):
    for step in ("3", "6"):
        (stage / "checkpoints" / step / "checksums.json").unlink()
    assert latest_intact_step(stage) == load_networks(stage)["step"] == 6


def lose_checksums(checkpoint):
    (checkpoint / "checksums.json").unlink()


def lose_their_lines(checkpoint):
    (checkpoint / "checksums.json").write_text("{}")


def lose_an_item(checkpoint):
    lose_checksums(checkpoint)
    shutil.rmtree(checkpoint / "optimizer")


def lose_everything(checkpoint):
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


@pytest.mark.parametrize("harm", [lose_checksums, lose_their_lines, lose_an_item, lose_everything])
def test_a_checkpoint_that_was_copied_in_part_is_set_aside(stage, harm):
    harm(stage / "checkpoints" / "6")
    assert latest_intact_step(stage) == 3
    assert [path.name for path in (stage / "damaged").iterdir()] == ["6"]


def test_an_array_that_is_cut_is_named_without_checksums_too(stage):
    for step in ("3", "6"):
        lose_checksums(stage / "checkpoints" / step)
    max(checkpoint_files(stage / "checkpoints" / "6", "networks"), key=lambda path: path.stat().st_size).write_bytes(
        b""
    )
    with pytest.raises(UserError) as raised:
        tiny_trainer(stage, 9).run()
    assert (raised.value.field, raised.value.value) == ("workdir", str(stage / "checkpoints" / "6"))


@pytest.mark.parametrize("bad", [b"\x00\xff", b"{", b"[]", b"3", b'{"l1": 2}', b"\x00" * 100])
def test_a_damaged_line_of_the_log_is_the_only_one_that_is_left_out(tmp_path: pathlib.Path, bad):
    lines = [json.dumps({"step": step}).encode() for step in range(1, 6)]
    lines[2] = bad
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 4, 5]


@pytest.mark.parametrize(
    "bad", [b"\x00\xff", b"{", b"[]", b'{"event": 2}', b'{"event": "started"}', b'{"event": "started", "time": 1e999}']
)
def test_a_damaged_event_is_the_only_one_that_is_left_out(tmp_path: pathlib.Path, bad):
    record(tmp_path, "started")
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(bad + b"\n")
    record(tmp_path, "stopped")
    assert [line["event"] for line in read_events(tmp_path)] == ["started", "stopped"]
