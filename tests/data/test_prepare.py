import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2v_jax.configs import common
from i2v_jax.data import staging, video_builder
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input import pipeline
from i2v_jax.input.sources import open_source
from tests.compiling import HANG
from tests.data.conftest import Prepare
from tests.input.helpers import frame_numbers, numbered_frames, write_frames, write_gif, write_video

ROOT = Path(__file__).parents[2]


def command(tmp_path: Path, *options: str) -> list[str]:
    folders = [f"--raw_dir={tmp_path / 'raw'}", f"--data_dir={tmp_path / 'out'}"]
    return [sys.executable, "-m", "launch.prepare", "--dataset=folder", *folders, *options]


def write_good(raw: Path, count: int) -> None:
    for number in range(count):
        write_frames(raw / f"good{number}", numbered_frames(18), first=5)


def test_everything_bad_is_counted_and_nothing_good_is_lost(tmp_path: Path, prepared: Prepare) -> None:
    raw = tmp_path / "raw"
    write_good(raw, 2)
    write_video(raw / "good.mp4", numbered_frames(20))
    write_video(raw / "odd.avi", numbered_frames(20, height=47, width=61))
    write_gif(raw / "good.gif", numbered_frames(20))
    write_frames(raw / "gray", numbered_frames(17)[..., 0])
    write_frames(raw / "alpha", np.concatenate([numbered_frames(17), np.full((17, 48, 64, 1), 128, np.uint8)], -1))
    (raw / "empty.mp4").touch()
    (raw / "text.mp4").write_text("this is no video " * 20)
    write_video(raw / "short.mp4", numbered_frames(16))
    write_frames(raw / "single", numbered_frames(1))
    cut = write_video(raw / "cut.mp4", numbered_frames(30))
    cut.write_bytes(cut.read_bytes()[:-2000])
    broken = write_frames(raw / "broken", numbered_frames(18))
    (broken / "frame7.png").write_bytes(b"")
    mixed = write_frames(raw / "mixed", numbered_frames(18))
    Image.new("RGB", (10, 10)).save(mixed / "frame9.png")
    (raw / "paper.pdf").write_bytes(b"%PDF")

    summary = prepared(Folder)
    assert sum(summary.num_videos.values()) == 7
    reasons = {item.path: item.reason for item in summary.skipped}
    assert reasons.keys() == {
        "empty.mp4", "text.mp4", "short.mp4", "single", "cut.mp4", "broken", "mixed", "paper.pdf"
    }  # fmt: skip
    assert reasons["short.mp4"].startswith("16 frames")
    assert reasons["single"].startswith("1 frames")
    assert "frame7.png" in reasons["broken"]
    assert all(named in reasons["mixed"] for named in ("frame 9", "10x10", "64x48"))
    assert json.loads((summary.folder / "skipped.json").read_text()) == [
        {"path": item.path, "reason": item.reason} for item in summary.skipped
    ]
    assert not (summary.folder.parent / "staging").exists()


@pytest.mark.parametrize("store", ["frames", "video"])
def test_what_was_stored_is_read_back(tmp_path: Path, prepared: Prepare, store: str) -> None:
    write_video(tmp_path / "raw/a.mp4", numbered_frames(40))
    prepared(Folder, store=store)
    source = open_source("folder", str(tmp_path / "out"), "train")
    assert (len(source), source.num_frames(0), source.name(0)) == (1, 40, "a.mp4")
    assert frame_numbers(source.read(0, range(13, 30))) == list(range(13, 30))
    assert source.read(0, range(2), min_size=16).shape == (2, 24, 32, 3)
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.read(0, range(3)), source.read(0, range(3)))


def test_plain_jpeg_frames_are_kept_byte_for_byte(tmp_path: Path, prepared: Prepare) -> None:
    folder = write_frames(
        tmp_path / "raw/a", np.random.default_rng(0).integers(0, 256, (17, 32, 32, 3), dtype=np.uint8), suffix=".jpg"
    )
    prepared(Folder)
    source = open_source("folder", str(tmp_path / "out"), "train")
    stored = source._record(0)["frames"].bytes_list.value
    assert [bytes(frame) for frame in stored] == [(folder / f"frame{i}.jpg").read_bytes() for i in range(17)]


def test_max_size_scales_the_shorter_side(tmp_path: Path, prepared: Prepare) -> None:
    write_frames(tmp_path / "raw/a", numbered_frames(17, 48, 64))
    prepared(Folder, max_size=24)
    assert open_source("folder", str(tmp_path / "out"), "train").read(0, [0]).shape == (1, 24, 32, 3)


def test_store_video_skips_what_has_no_key_frames_to_seek(tmp_path: Path, prepared: Prepare) -> None:
    write_video(tmp_path / "raw/a.mp4", numbered_frames(20))
    write_good(tmp_path / "raw", 1)
    summary = prepared(Folder, store="video")
    assert [item.path for item in summary.skipped] == ["good0"]
    assert "--store=frames" in summary.skipped[0].reason


def test_a_full_disk_is_one_line_and_a_second_run_continues(
    tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(tmp_path / "raw", 4)
    encode, staged = staging._encode, []

    def fill_up(frame: np.ndarray, options: staging.StoreOptions) -> tuple[bytes, tuple[int, int]]:
        staged.append(1)
        if len(staged) > 45:  # in the third video at the earliest
            raise OSError(errno.ENOSPC, "No space left on device")
        return encode(frame, options)

    monkeypatch.setattr(staging, "_encode", fill_up)
    with pytest.raises(UserError) as raised:
        prepared(Folder)
    assert raised.value.field == "data_dir"
    monkeypatch.setattr(staging, "_encode", encode)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/folder/staging").iterdir()}
    assert kept
    assert all(path.suffix == ".zip" for path in kept)
    monkeypatch.setattr(video_builder.shutil, "rmtree", lambda path: None)
    assert sum(prepared(Folder).num_videos.values()) == 4
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_too_little_room_for_the_records(tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    write_good(tmp_path / "raw", 1)
    usage = video_builder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(video_builder.shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(UserError) as raised:
        prepared(Folder)
    assert raised.value.field == "data_dir"


@pytest.mark.parametrize("files", [[], ["short"]])
def test_nothing_to_prepare(tmp_path: Path, prepared: Prepare, files: list[str]) -> None:
    (tmp_path / "raw").mkdir()
    for name in files:
        write_frames(tmp_path / "raw" / name, numbered_frames(3))
    with pytest.raises(UserError) as raised:
        prepared(Folder)
    assert (raised.value.field, raised.value.value) == ("raw_dir", str(tmp_path / "raw"))


def test_missing_split_is_one_clear_line(tmp_path: Path, prepared: Prepare) -> None:
    write_good(tmp_path / "raw", 1)
    prepared(Folder)
    with pytest.raises(UserError) as raised:
        open_source("folder", str(tmp_path / "out"), "test")
    assert (raised.value.field, raised.value.value) == ("split", "test")


@pytest.mark.slow
def test_a_killed_run_continues(tmp_path: Path) -> None:
    write_good(tmp_path / "raw", 12)
    for number in range(12):
        write_frames(tmp_path / f"raw/large{number}", numbered_frames(60, 240, 320))
    folder = tmp_path / "out/folder"
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        command(tmp_path, "--threads=1"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline and len(list(folder.glob("staging/*.zip"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path.name for path in folder.glob("staging/*.zip")}
    assert 3 <= len(kept) < 24
    done = subprocess.run(command(tmp_path), cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "train 20, eval 2, test 2" in done.stdout
    again = subprocess.run(command(tmp_path), cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "already" in again.stdout


def test_errors_exit_with_status_two_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("error: ") and str(tmp_path / "raw") in error
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("store", ["frames", "video"])
@pytest.mark.parametrize("workers", [0, 1])
def test_prepared_videos_flow_through_the_pipeline(tmp_path: Path, prepared: Prepare, store: str, workers: int) -> None:
    for number in range(3):
        write_video(tmp_path / f"raw/{number}.mp4", numbered_frames(25))
    prepared(Folder, store=store)
    data = common.base(32).data
    data.update(
        name="folder", dir=str(tmp_path / "out"), workers=workers, clips_per_video={"train": 4, "eval": 3, "test": 2}
    )
    evaluation = pipeline.make_pipeline(open_split(data, "eval"), data, batch_size=3, seed=0, train=False).iterator()
    videos = next(evaluation)["video"]
    evaluation.close()
    assert [frame_numbers((clip + 1) * 127.5)[0] for clip in videos] == [0, 4, 8]
    training = pipeline.make_pipeline(open_split(data, "train"), data, batch_size=4, seed=0, train=True)
    assert (training.num_clips, training.steps_per_epoch) == (4, 1)
    iterator = training.iterator()
    for clip in next(iterator)["video"]:
        first, *others = frame_numbers((clip + 1) * 127.5)
        assert others == list(range(first + 1, first + 17))
    iterator.close()
