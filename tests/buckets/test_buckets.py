"""Work directories and prepared data in a bucket work as local ones do, with an emulator of Google Cloud Storage."""

import importlib.util
import pathlib
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from i2v_jax import files, media
from i2v_jax.config_files import load
from i2v_jax.data.folder.spec import FOLDER
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import read_records, write_records
from i2v_jax.evaluation.state import State
from i2v_jax.input.sources import open_source
from i2v_jax.metrics.accumulators import ClipTable
from i2v_jax.reports.comparison import compare_runs, read_runs, write_comparison
from i2v_jax.training.saved_networks import load_config, load_networks, saved_steps
from i2v_jax.training.writers import MetricWriter, read_metrics
from i2v_jax.workdir import claim_workdir, lock_workdir, read_workdir
from tests.evaluation.protocol_of_fvd import FVD
from tests.reports.test_comparison import record
from tests.training.tiny import tiny_trainer


def listing(folder: str) -> list[str]:
    """Returns the names in a folder."""
    return sorted(path.name for path in files.location(folder).iterdir())


def everything(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the files below a folder."""
    for path in folder.iterdir():
        yield from everything(path) if path.is_dir() else [path]


def upload(folder: pathlib.Path, target: str) -> None:
    """Copies a folder to a bucket."""
    for path in everything(folder):
        (files.location(target) / path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())


def test_files(bucket):
    files.write_text(f"{bucket}/a/b.txt", "größer")
    files.write_bytes(files.location(bucket) / "a" / "b.txt", "größer\n".encode())
    path = files.location(f"{bucket}/a/b.txt")
    assert (path.read_text(), path.is_file(), path.parent.is_dir()) == ("größer\n", True, True)
    assert listing(f"{bucket}/a") == ["b.txt"]
    files.remove_folder(files.location(f"{bucket}/a"))
    files.remove_folder(files.location(f"{bucket}/a"))
    assert not path.exists()


def test_a_failure_of_the_writer_keeps_the_old_file(bucket):
    path = files.location(f"{bucket}/a.npz")
    path.write_bytes(b"before")

    def fail():
        with files.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (path.read_bytes(), listing(bucket)) == (b"before", ["a.npz"])


def test_a_bucket_that_does_not_exist(emulator):
    with pytest.raises(UserError) as raised:
        files.write_text("gs://nobody-has-this/a.txt", "")
    assert raised.value.value == "gs://nobody-has-this/a.txt"
    with pytest.raises(UserError) as raised:
        files.require_bucket("gs://nobody-has-this/run", "--workdir")
    assert (raised.value.field, raised.value.value) == ("workdir", "gs://nobody-has-this/run")


def test_a_new_folder_in_a_bucket(bucket):
    files.require_bucket(f"{bucket}/run", "--workdir")


def test_gcsfs_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as raised:
        files.location("gs://bucket/run")
    assert (raised.value.field, raised.value.value) == ("gcsfs", "gs://bucket/run")


@pytest.mark.parametrize("path", ["s3://bucket/run", "https://host/run", pathlib.Path("gs://bucket/run")])
def test_other_addresses_are_refused(path):
    with pytest.raises(UserError) as raised:
        files.location(path)
    assert raised.value.value == str(path)


def test_a_text_that_grows(bucket):
    text = files.GrowingText(f"{bucket}/log", "first\n")
    text.write("second")
    text.write("third")
    text.flush()
    assert files.location(f"{bucket}/log").read_text() == "first\nsecond\nthird\n"
    text.write("fourth")
    text.close()
    assert files.location(f"{bucket}/log").read_text().endswith("third\nfourth\n")


def test_a_log_continues(bucket):
    folder = files.location(f"{bucket}/stage")
    with MetricWriter(folder, 0) as writer:
        for step in (1, 2, 3):
            writer.write(step, {"l1": 0.5 * step})
    with MetricWriter(folder, 2) as writer:
        writer.write(3, {"l1": 7.0})
    assert [(line["step"], line["l1"]) for line in read_metrics(folder)] == [(1, 0.5), (2, 1.0), (3, 7.0)]
    assert listing(f"{bucket}/stage") == ["metrics.jsonl"]


def test_a_work_directory_belongs_to_one_configuration(bucket, caplog):
    config = load("sky:demo")
    claim_workdir(config, bucket)
    assert read_workdir(bucket).to_dict() == config.to_dict()
    with lock_workdir(bucket):
        assert "locked" in caplog.text
    (files.location(bucket) / "video_vae" / "checkpoints" / "100" / "_CHECKPOINT_METADATA").write_text("{}")
    with pytest.raises(UserError) as raised:
        claim_workdir(load("sky:demo", ["data.flip=0.5"]), bucket)
    assert (raised.value.field, raised.value.value) == ("data.flip", 0.5)


def test_training_in_a_bucket_resumes_and_equals_local_training(bucket, tmp_path):
    """With a checkpoint that a killed process left incomplete."""
    assert tiny_trainer(tmp_path, 7).run()
    assert tiny_trainer(f"{bucket}/stage", 3).run()
    checkpoints = files.location(f"{bucket}/stage/checkpoints")
    for path in everything(checkpoints / "3"):
        if path.name != "commit_success.txt":
            (checkpoints / "5" / path.relative_to(checkpoints / "3").as_posix()).write_bytes(path.read_bytes())
    assert saved_steps(f"{bucket}/stage") == [3]
    assert tiny_trainer(f"{bucket}/stage", 7).run()
    assert saved_steps(f"{bucket}/stage") == saved_steps(tmp_path)
    for step in ("latest", "best"):
        networks = (load_networks(folder, step=step) for folder in (tmp_path, f"{bucket}/stage"))
        jax.tree.map(np.testing.assert_array_equal, *networks)
    assert load_config(f"{bucket}/stage") == load_config(tmp_path)
    local, remote = (
        [{name: line[name] for name in line if name != "time" and not name.startswith("system/")} for line in lines]
        for lines in map(read_metrics, (tmp_path, f"{bucket}/stage"))
    )
    assert remote == local
    assert {"0000007.png", "0000007.mp4"} <= set(listing(f"{bucket}/stage/previews"))


def test_prepared_data_are_read_from_a_bucket(bucket, tmp_path):
    for name in "abc":
        clip = np.random.default_rng(ord(name)).integers(0, 255, (18, 32, 32, 3), np.uint8)
        media.write_mp4(tmp_path / "raw" / f"{name}.mp4", clip)
    prepare(
        FOLDER.builder,
        tmp_path / "raw",
        tmp_path / "out",
        options=StoreOptions(),
        split_options=SplitOptions(eval_fraction=0.1, test_fraction=0.1, seed=0),
        workers=1,
    )
    upload(tmp_path / "out", f"{bucket}/prepared")
    local, remote = (open_source("folder", str(place), "train") for place in (tmp_path / "out", f"{bucket}/prepared"))
    assert len(remote) == len(local)
    np.testing.assert_array_equal(remote.read(0, [0, 5, 17]), local.read(0, [0, 5, 17]))
    with pytest.raises(UserError) as raised:
        open_source("folder", f"{bucket}/nothing", "train")
    assert raised.value.value == f"{bucket}/nothing"


def test_records_and_states_of_an_evaluation(bucket):
    for name in ("one", "two"):
        write_records(f"{bucket}/{name}/evaluations/bair/metrics.json", [record(FVD, name, 100.0)])
    assert read_records(f"{bucket}/one/evaluations/bair/metrics.json") == (record(FVD, "one", 100.0),)
    write_comparison(compare_runs(read_runs([f"{bucket}/one", f"{bucket}/two"])), files.location(f"{bucket}/out"))
    assert {"comparison.md", "index.html"} <= set(listing(f"{bucket}/out"))
    table = ClipTable.empty(2).add([3], [[0.5, 1.0]])
    state = State(files.location(f"{bucket}/one"), {"seed": 1})
    assert state.load() == {}
    state.save({"l1": table})
    again = State(files.location(f"{bucket}/one"), {"seed": 1})
    np.testing.assert_array_equal(again.load()["l1"].values, table.values)
    again.remove()
    assert listing(f"{bucket}/one") == ["evaluations"]
