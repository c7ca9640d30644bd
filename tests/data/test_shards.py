"""Interrupted preparations continue, and give the same files as undisturbed ones; damage and kills leave no traces."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from i2v_jax.data import completion, shards, staging
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.video_builder import VERSION
from i2v_jax.errors import UserError
from i2v_jax.input.sources import RecordSource
from tests.compiling import HANG
from tests.data.conftest import Prepare
from tests.input.helpers import numbered_frames, write_frames, write_video

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two or three of the videos below are a shard."""
    monkeypatch.setattr(shards, "_LEAST", 15_000)


def write_raw(raw: Path, count: int = 12) -> None:
    """Writes folders of noise, a video, and two that cannot be used."""
    noise = np.random.default_rng(0).integers(0, 256, (18, 12, 16, 3), dtype=np.uint8)
    for number in range(count):
        write_frames(raw / f"good{number:02d}", noise + np.uint8(number))
    write_frames(raw / "good00x", noise[:5])
    broken = write_frames(raw / "good03x", noise)
    (broken / "frame7.png").write_bytes(b"")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_files(tmp_path: Path, prepared: Prepare) -> None:
    write_raw(tmp_path / "raw")
    one = prepared(Folder)
    there = contents(tmp_path / "out")
    assert len([name for name in there if "-train.array_record-" in name]) > 2
    assert one.num_videos == {"train": 10, "eval": 1, "test": 1}
    assert [item.path for item in one.skipped] == ["good00x", "good03x"]
    assert not (tmp_path / "out/folder/staging").exists()
    (tmp_path / "out").rename(tmp_path / "before")
    prepared(Folder, workers=2)
    assert contents(tmp_path / "out") == there


class Kill(BaseException):
    """Stands for a signal that ends the process."""


def test_a_kill_at_any_moment_changes_nothing(
    tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that changes a file is once the last one of a run."""
    write_raw(tmp_path / "raw", 6)
    write_video(tmp_path / "raw/good07.mp4", numbered_frames(20))
    prepared(Folder)
    there = contents(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "before")
    left, real = [0], {"rename": os.rename, "replace": os.replace}

    def until_killed(name: str):
        def call(*arguments):
            left[0] -= 1
            if left[0] < 0:
                raise Kill
            return real[name](*arguments)

        return call

    for name in real:
        monkeypatch.setattr(os, name, until_killed(name))
    kills = 0
    for calls in range(1000):
        left[0] = calls
        try:
            prepared(Folder)
            break
        except Kill:
            kills += 1
            assert not (tmp_path / f"out/folder/{VERSION}").exists()
    assert kills > 8
    assert contents(tmp_path / "out") == there


@pytest.mark.parametrize("kind", [OSError, RuntimeError])  # the latter is ArrayRecord's
def test_a_full_disk_is_one_line_and_a_second_run_continues(
    tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    write_raw(tmp_path / "raw")
    convert, converted = staging.convert, []

    def fill_up(raw, *arguments):
        if len(converted) == 7:
            raise kind(errno.ENOSPC, "No space left on device")
        converted.append(raw.name)
        return convert(raw, *arguments)

    monkeypatch.setattr(staging, "convert", fill_up)
    with pytest.raises(UserError) as raised:
        prepared(Folder)
    assert raised.value.field == "data_dir"
    before, converted[:] = set(converted), []
    monkeypatch.setattr(
        staging, "convert", lambda raw, *arguments: (converted.append(raw.name), convert(raw, *arguments))[1]
    )
    assert sum(prepared(Folder).num_videos.values()) == 12
    assert len(before & set(converted)) <= 2  # those of the shard that was not complete


def test_videos_that_change_their_split_are_copied(
    tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Videos turn out to be damaged only when they are converted, after the others were divided."""
    write_raw(tmp_path / "raw")
    convert, converted = staging.convert, []
    monkeypatch.setattr(
        staging, "convert", lambda raw, *arguments: (converted.append(raw.name), convert(raw, *arguments))[1]
    )
    summary = prepared(Folder, eval_fraction=0.3, test_fraction=0.3)
    assert sum(summary.num_videos.values()) == 12
    assert len(converted) == len(set(converted)) + converted.count("good00x") + converted.count("good03x") - 2
    read = {}
    for split in summary.num_videos:
        source = RecordSource(summary.folder, split)
        read |= {source.name(video): source.read(video, [0, 17]) for video in range(len(source))}
    noise = np.random.default_rng(0).integers(0, 256, (18, 12, 16, 3), dtype=np.uint8)
    for name, frames in read.items():
        np.testing.assert_array_equal(frames, noise[[0, 17]] + np.uint8(int(name[4:6])))


def test_a_shard_that_was_named_gets_its_name_back(tmp_path: Path) -> None:
    (tmp_path / "complete").mkdir()
    (tmp_path / "complete/new").write_text("records")
    (tmp_path / "names.json").write_text('{"new": "old", "later": "other"}')
    (tmp_path / "other").write_text("more")
    completion.take_back(tmp_path, tmp_path / "folder")
    assert contents(tmp_path).keys() == {"old", "other", "names.json"}


@pytest.mark.slow
def test_a_killed_command_continues(tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills the command with two processes at a random moment, then runs it to the end."""
    monkeypatch.undo()  # the command has shards of the usual size
    for number in range(30):
        frames = np.random.default_rng(number).integers(0, 256, (20, 120, 160, 3), dtype=np.uint8)
        write_frames(tmp_path / "raw" / str(number), frames)
    folders = [f"--raw_dir={tmp_path / 'raw'}", f"--data_dir={tmp_path / 'killed'}", "--workers=2"]
    command = [sys.executable, "-m", "launch.prepare", "--dataset=folder", "--frame_format=webp", *folders]
    options = {"cwd": ROOT, "env": os.environ | {"JAX_PLATFORMS": "cpu"}, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
    staged = tmp_path / "killed/folder/staging"
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline and process.poll() is None and not list(staged.glob("*.json")):
        time.sleep(0.01)
    time.sleep(random.random())
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, **options)
    again = subprocess.run(command, check=True, text=True, **{**options, "stdout": subprocess.PIPE})
    assert "already" in again.stdout
    undisturbed = prepared(Folder, frame_format="webp").folder
    killed = tmp_path / "killed" / undisturbed.relative_to(tmp_path / "out")
    shutil.rmtree(killed / "card")  # which the command writes after the data set
    assert contents(killed) == contents(undisturbed)
