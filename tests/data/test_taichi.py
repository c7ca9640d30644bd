"""Tai-Chi: chunks are cut out of recordings, each of which is decoded once."""

import collections
import zipfile
from pathlib import Path

import numpy as np
import pytest

from i2v_jax.data.taichi.builder import METADATA, Taichi
from i2v_jax.data.taichi.recordings import Cut
from i2v_jax.data.video_builder import Summary, find
from i2v_jax.errors import UserError
from i2v_jax.input.sources import RecordSource
from i2v_jax.media import images, videos
from i2v_jax.media.damage import DamagedVideo
from tests.data import raw_copies
from tests.data.conftest import Prepare
from tests.input.helpers import frame_numbers, numbered_frames, write_video

_WHOLE = (0.0, 0.0, 1.0, 1.0)


def names(summary: Summary) -> dict[str, list[str]]:
    sources = {split: RecordSource(summary.folder, split) for split in summary.num_videos}
    return {split: [source.name(i) for i in range(len(source))] for split, source in sources.items()}


def reasons(summary: Summary) -> dict[str, str]:
    return {item.path: item.reason for item in summary.skipped}


def test_chunks_are_cut_in_one_pass(tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also out of a recording in an archive."""
    raw_copies.taichi(tmp_path / "raw")
    archived = tmp_path / "raw/youtube-taichi/aaaaaaaaaaa.mp4"
    with zipfile.ZipFile(tmp_path / "raw/recordings.zip", "w") as archive:
        archive.write(archived, archived.name)
    archived.unlink()
    passes: collections.Counter[str] = collections.Counter()
    iterate = videos.iterate_frames

    def count(path: Path):
        passes[path.name] += 1
        yield from iterate(path)

    monkeypatch.setattr(videos, "iterate_frames", count)
    summary = prepared(Taichi, preset="release")
    found = names(summary)
    assert found["train"] == [
        "train/aaaaaaaaaaa#000010#000060", "train/aaaaaaaaaaa#000060#000096", "train/bb-_bbbbbbb#000000#000060"
    ]  # fmt: skip
    assert found["eval"] == found["test"] == ["test/ccccccccccc#000000#000080"]
    assert passes == dict.fromkeys(("aaaaaaaaaaa.mp4", "bb-_bbbbbbb.mp4", "ccccccccccc.mp4"), 1)
    assert set(reasons(summary)) == {METADATA, "ddddddddddd"} and "2 chunks" in reasons(summary)["ddddddddddd"]
    frames = RecordSource(summary.folder, "train").read(0, range(25))  # frames 5 to 29 of the recording, at 25 Hz
    assert frames.shape == (25, 256, 256, 3)
    assert (frames.mean((1, 2, 3)) - 40) / 2 == pytest.approx(np.arange(5, 30), abs=1)
    outside = RecordSource(summary.folder, "train").read(1, [0])[0]
    assert outside[:, :100].mean() < outside[100:, 200:].mean() - 10


def test_chunks_may_overlap_and_end_early(tmp_path: Path) -> None:
    """Only the frames of a chunk and of those that overlap with it are on the disk."""
    path = write_video(tmp_path / "a.mp4", numbered_frames(40))
    spans = [(2, 20), (5, 8), (8, 30), (35, 99), (50, 60)]
    cuts = [Cut(first, last, 25.0, _WHOLE) for first, last in spans]
    cuts[1] = Cut(5, 8, 25.0, (1.0, 0.0, 1.0, 1.0))
    folder = tmp_path / "chunks"
    folder.mkdir()
    numbers, there = [], []
    for outcome in Cut.take_all_out(path, cuts, folder):
        there.append(len(list(folder.iterdir())))
        numbers.append(
            "outside" in str(outcome)
            if isinstance(outcome, UserError)
            else frame_numbers(np.stack([images.read_rgb(file) for file in sorted(outcome.iterdir())]))
        )
    assert numbers == [list(range(2, 20)), True, list(range(8, 30)), list(range(35, 40)), False]
    assert there == [2, 1, 1, 1, 0]


def test_a_damaged_recording_gives_the_chunks_before(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(40))
    content = bytearray(path.read_bytes())
    begin, end = content.index(b"mdat"), content.index(b"moov")
    at = begin + (end - begin) * 8 // 10
    content[at : at + 50] = bytes(50)
    path.write_bytes(content)
    (tmp_path / "chunks").mkdir()
    cuts = [Cut(first, first + 10, 25.0, _WHOLE) for first in (0, 10, 30)]
    outcomes = list(Cut.take_all_out(path, cuts, tmp_path / "chunks"))
    assert [isinstance(outcome, DamagedVideo) for outcome in outcomes] == [False, False, True]


def test_every_file_is_told(tmp_path: Path) -> None:
    """A recording that is there twice, one that is not listed, a chunk that is there already."""
    raw_copies.taichi(tmp_path)
    for name in ("youtube-taichi/unlisted.mp4", "other/aaaaaaaaaaa.mkv", "train/bb-_bbbbbbb#000000#000060.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, skipped = find(Taichi, tmp_path, "default")
    assert len([video for video in found if "bb-_" in video.name]) == 1
    assert {item.path: item.reason.partition(":")[0] for item in skipped} == {
        METADATA: "it is used, but is not byte for byte the published list",
        "aaaaaaaaaaa": "twice",
        "ddddddddddd": "missing",
        "unlisted": f"not in {METADATA}",
    }


@pytest.mark.parametrize(
    "line",
    [
        b"a,0,60,1-2-3,50,160,120,train",
        b"a,0,60,1-2-3-4,50,0,120,train",
        b"a,0,60,1-2-3-4,50,160,120,both",
        b"a,0",
        b"\xff,0,60,1-2-3-4,50,160,120,train",
        b"a\x00,0,60,1-2-3-4,50,160,120,both",
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: bytes) -> None:
    good = b"a,0,60,1-2-3-4,50,160,120,train\n"
    (tmp_path / METADATA).write_bytes(raw_copies.TAICHI_HEADER.encode() + good + line)
    with pytest.raises(UserError) as raised:
        Taichi.find(tmp_path)
    assert raised.value.field == METADATA
