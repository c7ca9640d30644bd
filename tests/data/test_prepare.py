import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from i2v_jax.configs import common
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.poking_plants.builder import PokingPlants
from i2v_jax.data.registry import open_split
from i2v_jax.errors import UserError
from i2v_jax.input import pipeline, transforms
from i2v_jax.input.sources import open_source
from i2v_jax.media import videos
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
    assert source.read(0, range(2), min_size=16).shape == (2, *((48, 64) if store == "video" else (24, 32)), 3)
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.read(0, range(3)), source.read(0, range(3)))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_bytes_of_jpeg_and_png_frames_are_kept(tmp_path: Path, prepared: Prepare, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (17, 32, 32, 3), dtype=np.uint8)
    folder = write_frames(tmp_path / "raw/a", noise, suffix=suffix)
    summary = prepared(Folder)
    stored = tfds.builder_from_directory(summary.folder).as_data_source(
        "train", decoders={"frame": tfds.decode.SkipDecoding()}
    )
    assert [item["frame"] for item in stored] == [(folder / f"frame{i}{suffix}").read_bytes() for i in range(17)]
    encoding = {".jpg": "jpeg as it arrived", ".png": "lossless png"}[suffix]
    assert json.loads((summary.folder / "metadata.json").read_text())["stored"]["encodings"] == [encoding]


@pytest.mark.parametrize(
    ("arrives", "frame_format", "stored"),
    [
        (".bmp", "auto", "lossless"),
        (".bmp", "jpeg", "jpeg 95"),
        (".bmp", "webp", "lossless"),
        ("ffv1", "auto", "lossless"),
        ("h264", "auto", "jpeg 95"),
        ("h264", "png", "lossless"),
        ("h264", "webp", "lossless"),
    ],
)
def test_what_is_lossless(tmp_path: Path, prepared: Prepare, arrives: str, frame_format: str, stored: str) -> None:
    noise = np.random.default_rng(0).integers(100, 140, (17, 32, 32, 3), dtype=np.uint8)
    if arrives == ".bmp":
        write_frames(tmp_path / "raw/a", noise, suffix=".bmp")
        shown = noise
    else:
        path = write_video(tmp_path / "raw/a.mkv", noise, codec={"h264": "libx264"}.get(arrives, arrives))
        shown = np.stack(list(videos.iterate_frames(path)))
    prepared(Folder, frame_format=frame_format)
    source = open_source("folder", str(tmp_path / "out"), "train")
    error = np.abs(source.read(0, range(17)).astype(int) - shown).mean()
    assert error == 0 if stored == "lossless" else 0 < error < 5
    assert str(source.storage) == stored


def test_the_release_stores_frames_of_videos_losslessly(tmp_path: Path, prepared: Prepare) -> None:
    write_video(tmp_path / "raw/VID_0_1.mkv", numbered_frames(40))
    prepared(PokingPlants, preset="release", min_frames=3)
    assert str(open_source("poking_plants", str(tmp_path / "out"), "train").storage) == "lossless"


@pytest.mark.parametrize("resize", ["area", "release"])
def test_size_squeezes_frames(tmp_path: Path, prepared: Prepare, resize: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (17, 48, 64, 3), dtype=np.uint8)
    write_frames(tmp_path / "raw/a", noise)
    prepared(Folder, size=16, resize=resize)
    source = open_source("folder", str(tmp_path / "out"), "train")
    assert np.array_equal(source.read(0, [3])[0], transforms.resize(noise[3], 16, 16, resize))
    assert ("averaged" in str(source.storage)) == (resize == "release")


def test_max_size_scales_the_shorter_side(tmp_path: Path, prepared: Prepare) -> None:
    write_frames(tmp_path / "raw/a", numbered_frames(17, 48, 64))
    prepared(Folder, max_size=24)
    source = open_source("folder", str(tmp_path / "out"), "train")
    assert source.read(0, [0]).shape == (1, 24, 32, 3)
    assert str(source.storage) == "lossless, shorter side 24"


def test_store_video_skips_folders_of_frames(tmp_path: Path, prepared: Prepare) -> None:
    write_video(tmp_path / "raw/a.mp4", numbered_frames(20))
    write_good(tmp_path / "raw", 1)
    summary = prepared(Folder, store="video")
    assert [item.path for item in summary.skipped] == ["good0"]
    assert "--store=frames" in summary.skipped[0].reason


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
    clips = next(evaluation)["video"]
    evaluation.close()
    assert [frame_numbers((clip + 1) * 127.5)[0] for clip in clips] == [0, 4, 8]
    training = pipeline.make_pipeline(open_split(data, "train"), data, batch_size=4, seed=0, train=True)
    assert (training.num_clips, training.steps_per_epoch) == (4, 1)
    iterator = training.iterator()
    for clip in next(iterator)["video"]:
        first, *others = frame_numbers((clip + 1) * 127.5)
        assert others == list(range(first + 1, first + 17))
    iterator.close()
