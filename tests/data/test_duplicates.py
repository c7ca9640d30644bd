"""The same video under different names is told, and is in one split if that is held out."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.folder.spec import FOLDER
from i2v_jax.reports.data_card import write_card
from tests.data.conftest import Prepare
from tests.input.helpers import numbered_frames, write_frames, write_video


def write(raw: Path, count: int = 8) -> None:
    """Writes frames that differ."""
    for number in range(count):
        frames = np.random.default_rng(number).integers(0, 256, (17, 12, 16, 3), dtype=np.uint8)
        write_frames(raw / f"{number}", frames)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_videos_share_a_split(tmp_path: Path, prepared: Prepare, seed: int) -> None:
    write(tmp_path / "raw", 6)
    for copy in ("copy", "again"):
        shutil.copytree(tmp_path / "raw/3", tmp_path / "raw" / copy)
    summary = prepared(Folder, eval_fraction=0.3, test_fraction=0.3, seed=seed)
    assert sum(summary.num_videos.values()) == 8 and set(summary.num_videos) == {"train", "eval", "test"}
    (same,) = summary.same
    assert set(same.splits) == {"3", "copy", "again"} and not same.divided
    (tmp_path / "raw/more").mkdir()
    shutil.copytree(tmp_path / "raw/3", tmp_path / "raw/more/late")
    updated = prepared(Folder, eval_fraction=0.3, test_fraction=0.3, seed=seed, update=True)
    assert len(updated.same[0].splits) == 4 and not updated.same[0].divided


def test_the_same_videos_in_splits_of_their_own_are_told(tmp_path: Path, prepared: Prepare) -> None:
    """Also in another container; a video whose first frames are the same is not the same."""
    frames = numbered_frames(20)
    path = write_video(tmp_path / "raw/train/a.mp4", frames)
    shutil.copy(path, tmp_path / "raw/train/b.mp4")
    (tmp_path / "raw/test").mkdir()
    shutil.copy(path, tmp_path / "raw/test/<c>.mp4")
    write_video(tmp_path / "raw/train/other.mp4", frames[:18])
    summary = prepared(Folder)
    (same,) = summary.same
    assert same.divided and set(same.splits) == {"train/a.mp4", "train/b.mp4", "test/<c>.mp4"}
    assert "different splits" in str(summary) and "train/b.mp4" in str(summary)
    page = write_card(summary.folder, FOLDER).read_text()
    assert re.search("a.mp4 .*b.mp4 .*test/&lt;c&gt;.mp4", page)


@pytest.mark.parametrize("store", ["frames", "video"])
def test_copies_of_one_video_still_make_splits(tmp_path: Path, prepared: Prepare, store: str) -> None:
    path = write_video(tmp_path / "raw/0.mp4", numbered_frames(17))
    for number in range(1, 4):
        shutil.copy(path, tmp_path / f"raw/{number}.mp4")
    summary = prepared(Folder, store=store)
    assert set(summary.num_videos) == {"train", "eval", "test"} and summary.same[0].divided
