"""What launch.prepare makes of files that players show otherwise than they are stored, and what it says about it."""

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from i2v_jax.data.folder.builder import Folder
from i2v_jax.input import transforms
from i2v_jax.input.sources import SPLITS, RecordSource
from tests.data.conftest import Prepare
from tests.input.helpers import frame_numbers, numbered_frames, write_frames
from tests.media.kinds import corners, damage, marked, write


def stored(folder: Path, min_size: int = 0) -> dict[str, np.ndarray]:
    """Returns all frames of all videos of a prepared data set, as `RecordSource.read` does."""
    found = {}
    for split in SPLITS:
        if (folder / f"index-{split}.npz").is_file():
            source = RecordSource(folder, split)
            for video in range(len(source)):
                found[source.name(video)] = source.read(video, range(source.num_frames(video)), min_size)
    return found


@pytest.mark.parametrize("store", ["frames", "video"])
def test_what_was_done_is_told(tmp_path: Path, prepared: Prepare, store: str) -> None:
    raw = tmp_path / "raw"
    (raw / "sub").mkdir(parents=True)
    for number in range(3):
        path = raw / f"{number}.mp4"
        write(path, marked(17), set_up=lambda stream: stream.set_display_rotation(0, True, False))
    write(raw / "sub/turned.mov", marked(17), set_up=lambda stream: stream.set_display_rotation(90))
    write(raw / "sub/variable.mkv", marked(17), times=[40 * number + 300 * (number > 5) for number in range(17)])
    Image.new("RGB", (8, 8)).save(raw / "0.png")
    (raw / "sub/all").symlink_to("..")
    summary = prepared(Folder, store=store)
    assert summary.notes == {
        "mirrored as tagged": 3,
        "turned upright as tagged": 1,
        "with a variable frame rate, whose frames are all kept": 1,
    }
    assert "3 videos mirrored as tagged" in str(summary) and "1 video turned upright as tagged" in str(summary)
    assert [item.path for item in summary.skipped] == [".", "sub/all"]
    shown = stored(summary.folder)
    assert {name: corners(frames[5]) for name, frames in shown.items()} == {
        **{f"{number}.mp4": [1, 0, 3, 2] for number in range(3)},
        "sub/turned.mov": [1, 3, 0, 2],
        "sub/variable.mkv": [0, 1, 2, 3],
    }


@pytest.mark.parametrize("store", ["frames", "video"])
def test_damage_divides_a_video(tmp_path: Path, prepared: Prepare, store: str) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(3):
        write(tmp_path / f"raw/good{number}.mp4", numbered_frames(20), crf="5")
    path = write(tmp_path / "raw/a.mp4", numbered_frames(42), bf="0", g="20", sc_threshold="0", crf="5")
    damage(path, 22, lambda data: bytes(len(data)))
    summary = prepared(Folder, store=store, min_frames=2)
    assert [item.path for item in summary.skipped] == ["a.mp4"]
    assert "22" in summary.skipped[0].reason
    assert summary.notes == {}
    shown = {name: frame_numbers(frames) for name, frames in stored(summary.folder).items() if name[0] == "a"}
    assert shown == ({} if store == "video" else {"a.mp4#0-21": list(range(22)), "a.mp4#39-40": [40, 41]})


def test_intact_parts_share_a_split_and_short_ones_are_left_out(tmp_path: Path, prepared: Prepare) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(6):
        path = write(tmp_path / f"raw/{number}.mp4", numbered_frames(42) // 2, bf="0", g="10", sc_threshold="0")
        damage(path, 12 if number % 2 else 37, lambda data: bytes(len(data)))
    summary = prepared(Folder, eval_fraction=0.3, test_fraction=0.3)
    splits = {}
    for split in SPLITS:
        source = RecordSource(summary.folder, split)
        for video in range(len(source)):
            assert source.num_frames(video) >= 17
            splits.setdefault(source.name(video).partition("#")[0], set()).add(split)
            assert source.object_name(video) == source.name(video).partition("#")[0]
    assert len(splits) == 6 and all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == set(SPLITS)


@pytest.mark.parametrize("form", ["zip", "tar", "gztar"])
def test_images_with_several_pages_in_archives_are_videos(tmp_path: Path, prepared: Prepare, form: str) -> None:
    (tmp_path / "folder/b").mkdir(parents=True)
    for name, alpha in (("a.webp", 255), ("a.tif", 255), ("b/c.png", 255), ("b/d.webp", 0)):
        first, *others = (Image.fromarray(frame) for frame in numbered_frames(20, offset=ord(name[0]) - ord("a")))
        first.putalpha(alpha)
        options = {"lossless": True} if name.endswith("webp") else {}
        first.save(tmp_path / "folder" / name, save_all=True, append_images=others, **options)
    write_frames(tmp_path / "folder/e", numbered_frames(20, offset=5))
    (tmp_path / "raw").mkdir()
    shutil.make_archive(str(tmp_path / "raw/a"), form, tmp_path / "folder")
    summary = prepared(Folder)
    assert not summary.skipped
    shown = {name: frame_numbers(frames) for name, frames in stored(summary.folder).items()}
    white = round(255 / 6)
    assert shown == {
        "a/a.webp": list(range(20)),
        "a/a.tif": list(range(20)),
        "a/b/c.png": list(range(1, 21)),
        "a/b/d.webp": [white, *range(2, 21)],
        "a/e": list(range(5, 25)),
    }


def test_frames_per_second_are_a_choice(tmp_path: Path, prepared: Prepare) -> None:
    write_frames(tmp_path / "raw/folder", numbered_frames(20))
    times = [0, 40, 80, 400, 420, 440, 600]
    write(tmp_path / "raw/a.mp4", numbered_frames(7), times=times, crf="5")
    summary = prepared(Folder, fps=10, min_frames=2)
    shown = stored(summary.folder)
    assert frame_numbers(shown["a.mp4"])[:6] == [0, 2, 2, 2, 3, 5]
    assert len(shown["folder"]) == 20
    assert summary.notes == {"resampled to 10 frames per second": 1}


@pytest.mark.parametrize("store", ["frames", "video"])
def test_names_in_other_encodings(tmp_path: Path, prepared: Prepare, store: str) -> None:
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw/a.mp4", numbered_frames(20))
    (tmp_path / "raw/a.mp4").rename(tmp_path / "raw" / os.fsdecode(b"Mu\xf1oz.mp4"))
    write(tmp_path / "raw/b.mp4", numbered_frames(20))
    assert stored(prepared(Folder, store=store).folder).keys() == {"Muñoz.mp4", "b.mp4"}


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {}),
        ("a.mov", "libx264", "yuv422p10le", {}),
        ("a.webm", "libvpx-vp9", "yuv420p", {"cpu-used": "8"}),
        ("a.avi", "mjpeg", "yuvj420p", {}),
        ("a.mkv", "ffv1", "yuv444p", {}),
        ("a.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=error"}),
    ],
)
def test_both_ways_of_storing_show_the_same(
    tmp_path: Path, prepared: Prepare, name: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    """Turned and mirrored where the container can say so; frames are stored lossless, so that they can be compared.

    Also at the size of a training, which is not a divisor of theirs.
    """
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(0)
    # x265 corrupts memory if frames are smaller than 64 pixels.
    frames = (marked(20, 64, 96).astype(int) + rng.integers(-9, 9, (20, 64, 96, 3))).clip(0, 255).astype(np.uint8)
    tagged = name.endswith((".mp4", ".mov"))
    write(
        tmp_path / "raw" / name,
        frames,
        codec,
        pix_fmt,
        set_up=lambda stream: stream.set_display_rotation(90, True, False) if tagged else None,
        **options,
    )
    video = prepared(Folder, store="video").folder.rename(tmp_path / "video")
    single = prepared(Folder, store="frames", frame_format="png").folder
    first, second = stored(video)[name], stored(single)[name]
    assert first.shape == second.shape == ((20, 96, 64, 3) if tagged else (20, 64, 96, 3))
    assert np.abs(first.astype(int) - second).max() <= 2
    first, second = (transforms.fit(stored(folder, min_size=18)[name], 18, "center") for folder in (video, single))
    assert np.abs(first.astype(int) - second).max() <= 2


def test_packets_of_frames_of_several_sizes_are_refused(tmp_path: Path, prepared: Prepare) -> None:
    """Video calls change the size when the connection does."""
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw/a.webm", marked(20), "libvpx")
    with av.open(str(tmp_path / "raw/b.webm"), "w") as target:
        to = None
        for number, size in enumerate((32, 64)):
            with av.open(str(write(tmp_path / f"{size}.webm", marked(10, size, size), "libvpx"))) as source:
                stream = source.streams.video[0]
                to = to or target.add_stream_from_template(stream)
                for packet in (packet for packet in source.demux(stream) if packet.size):
                    packet.pts = packet.dts = packet.pts + 400 * number
                    packet.stream = to
                    target.mux(packet)
    for store, size in (("video", 0), ("frames", 0), ("frames", 16)):
        summary = prepared(Folder, store=store, size=size)
        summary.folder.rename(tmp_path / f"{store}{size}")
        assert [item.path for item in summary.skipped] == ([] if size else ["b.webm"])
        assert all("64x64" in item.reason and "32x32" in item.reason for item in summary.skipped)
