"""Videos that cannot be read: training stops in one line, or other clips take their place and are counted."""

import dataclasses
import itertools
import multiprocessing
import os
import pathlib
import threading
from collections.abc import Callable

import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.data import shards
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.errors import UserError
from i2v_jax.input import pipeline, workers
from i2v_jax.input.sources import RecordSource
from tests.input.helpers import numbered_frames, write_frames


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Six videos of 20 frames, each in a shard of its own; the frames of one are damaged, the shard of another cut."""
    monkeypatch.setattr(shards, "_LEAST", 1)
    for number in range(6):
        write_frames(tmp_path / f"raw/train/{number}", numbered_frames(20, offset=number))
        write_frames(tmp_path / f"raw/eval/{number}", numbered_frames(20, offset=number))
    options, splits = StoreOptions(), SplitOptions(0.0, 0.0, 0)
    folder = prepare(Folder, tmp_path / "raw", tmp_path, options=options, split_options=splits, workers=1).folder
    for split in ("train", "eval"):
        paths = sorted(folder.glob(f"*-{split}.array_record-*-of-00006"))
        assert len(paths) == 6
        paths[2].write_bytes(paths[2].read_bytes()[:-300])
        paths[4].unlink()
    return folder


def batches(folder: pathlib.Path, split: str, on_error: str, **fields: object) -> pipeline.BatchIterator:
    data = load("folder:size=64").data
    data.update({"on_error": on_error, "size": 16, "workers": 0, "flip": 0.0, **fields})
    data.clips_per_video.update(train=5, eval=1)
    data.jitter.update(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    source = RecordSource(folder, split)
    return pipeline.make_pipeline(source, data, batch_size=6, seed=0, train=split == "train").iterator()


def test_training_stops_and_names_shard_and_video(folder: pathlib.Path) -> None:
    iterator = batches(folder, "train", "stop")
    with pytest.raises(UserError) as raised:
        list(itertools.islice(iterator, 5))
    assert raised.value.field == "data.dir"
    assert str(raised.value.value) in str(raised.value)
    assert any(f"'train/{number}'" in str(raised.value) for number in (2, 4))


@pytest.mark.parametrize("number_of_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_other_clips_take_their_place(
    folder: pathlib.Path, caplog: pytest.LogCaptureFixture, number_of_workers: int
) -> None:
    iterator = batches(folder, "train", "skip", workers=number_of_workers)
    read = [next(iterator) for _ in range(10)]
    iterator.close()
    assert all(batch.keys() == {"video"} and batch["video"].shape == (6, 17, 16, 16, 3) for batch in read)
    counted = iterator._unreadable.clips
    assert counted == 20  # two of six videos in two epochs of 30 clips
    told = [record.message for record in caplog.records if "takes the place" in record.message]
    assert any("'train/2'" in message for message in told) and any("'train/4'" in message for message in told)
    assert len(told) < counted
    again = batches(folder, "train", "skip")
    for batch in read:
        np.testing.assert_array_equal(next(again)["video"], batch["video"])


def test_replaced_clips_do_not_count_in_evaluation(folder: pathlib.Path) -> None:
    batch = next(batches(folder, "eval", "skip"))
    assert batch["valid"].tolist() == [True, True, False, True, False, True]


def test_a_data_set_without_any_readable_video_stops(folder: pathlib.Path) -> None:
    for path in folder.glob("*-train.array_record-*-of-00006"):
        path.unlink()
    before = set(threading.enumerate())
    with pytest.raises(UserError) as raised:
        next(batches(folder, "train", "skip"))
    assert raised.value.field == "data.dir"
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)  # it ends with the clips that it has begun
        assert not thread.is_alive()


@pytest.mark.slow
def test_a_worker_that_dies_says_what_it_read(folder: pathlib.Path) -> None:
    """A decoder that crashes takes the process with it."""
    iterator = batches(folder, "train", "skip", workers=1)
    crashing = Crashing(iterator._pipeline.reader)
    iterator = dataclasses.replace(iterator._pipeline, reader=crashing).iterator()
    with pytest.raises(UserError) as raised:
        next(iterator)
    iterator.close()
    assert raised.value.field == "data.workers"
    assert "'train/" in str(raised.value.value)


class Crashing:
    """A reader whose process dies after it has read a clip."""

    def __init__(self, reader: pipeline.Reader) -> None:
        self.reader, self.order, self.spec = reader, reader.order, reader.spec

    def __call__(self, position: int) -> None:
        self.reader(position)
        os._exit(11)


@pytest.mark.parametrize(("text", "told"), [("shard, video 'ü'", "shard, video 'ü'"), ("x" * 5000, "x" * 1000)])
def test_the_board_tells_what_the_dead_one_read(text: str, told: str) -> None:
    board = workers.Board(2)
    assert board.last_read() == ""
    worker = multiprocessing.get_context("spawn").Process(target=note_as_worker, args=(board.set_up, text))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert board.last_read()[:1000] == told


def note_as_worker(set_up: Callable[[int, int], None], text: str) -> None:
    set_up(1, 2)
    workers.note(text)
