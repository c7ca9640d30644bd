"""A data set is prepared once: the same again does nothing, something else is refused, new files are added."""

import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2v_jax.data import completion, staging
from i2v_jax.data.flows import FlowOptions, store_flows
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.folder.spec import FOLDER
from i2v_jax.data.preparation import keep_splits
from i2v_jax.data.raw import RawVideo, divide
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.errors import UserError
from i2v_jax.input.sources import RecordSource
from i2v_jax.reports.data_card import list_sha256, write_card
from tests.data.conftest import Prepare
from tests.input.helpers import frame_numbers, numbered_frames, write_frames, write_video


def write(raw: Path, *names: str) -> None:
    for name in names:  # each has its own width: the same videos would share a split
        write_video(raw / name, numbered_frames(20, width=32 + 2 * (zlib.crc32(name.encode()) % 50)))


def names(folder: Path) -> dict[str, list[str]]:
    listing = json.loads((folder / "metadata.json").read_text())["videos"]
    return {split: videos["names"] for split, videos in listing.items()}


def test_the_same_again_does_nothing(tmp_path: Path, prepared: Prepare) -> None:
    write(tmp_path / "raw", "a.mp4", "b.mp4", "c.mp4")
    folder = prepared(Folder).folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert prepared(Folder) is None
    (tmp_path / "raw/notes.txt").write_text("about these videos")  # changes no video
    assert prepared(Folder) is None
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert not (folder.parent / "staging").exists()


@pytest.mark.parametrize(
    ("options", "field"),
    [({"max_size": 24}, "max_size"), ({"eval_fraction": 0.3}, "eval_fraction"), ({"preset": "release"}, "preset")],
)
def test_other_options_are_refused(tmp_path: Path, prepared: Prepare, options: dict[str, object], field: str) -> None:
    write(tmp_path / "raw", "a.mp4")
    prepared(Folder)
    with pytest.raises(UserError) as raised:
        prepared(Folder, update=True, **options)
    assert (raised.value.field, raised.value.value) == (field, options[field])


def test_what_a_preset_stored_otherwise_before_is_refused(
    tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "raw", "a.mp4")
    folder = prepared(Folder, preset="release").folder
    monkeypatch.setattr(Folder, "RELEASED_AS", "png")
    with pytest.raises(UserError) as raised:
        prepared(Folder, preset="release", update=True)
    assert (raised.value.field, raised.value.value) == ("frame_format", "png")
    monkeypatch.undo()
    record = json.loads((folder / "preparation.json").read_text())
    del record["options"]["fps"]  # of an earlier version, which had no such option
    (folder / "preparation.json").write_text(json.dumps(record))
    assert prepared(Folder, preset="release") is None


@pytest.mark.parametrize("content", [None, "", "{}"])
def test_a_data_set_of_unknown_origin_is_refused(tmp_path: Path, prepared: Prepare, content: str | None) -> None:
    write(tmp_path / "raw", "a.mp4")
    path = prepared(Folder).folder / "preparation.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as raised:
        prepared(Folder)
    assert raised.value.field == "data_dir"


@pytest.mark.parametrize("below", ["", "out"])
def test_data_are_not_prepared_among_the_raw_files(tmp_path: Path, below: str) -> None:
    write(tmp_path, "a.mp4")
    with pytest.raises(UserError) as raised:
        prepare(
            Folder, tmp_path, tmp_path / below, options=StoreOptions(), split_options=SplitOptions(0, 0, 0), workers=1
        )
    assert raised.value.field == "data_dir"
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def add(raw: Path) -> None:
    write(raw, "new.mp4")


def change(raw: Path) -> None:
    write_video(raw / "a.mp4", numbered_frames(30))


def remove(raw: Path) -> None:
    (raw / "a.mp4").unlink()


@pytest.mark.parametrize(("edit", "name"), [(add, "new.mp4"), (change, "a.mp4"), (remove, "a.mp4")])
def test_other_files_are_refused(tmp_path: Path, prepared: Prepare, edit: Callable[[Path], None], name: str) -> None:
    write(tmp_path / "raw", "a.mp4", "b.mp4")
    prepared(Folder)
    edit(tmp_path / "raw")
    with pytest.raises(UserError) as raised:
        prepared(Folder)
    assert (raised.value.field, raised.value.value) == ("raw_dir", name)


def test_files_that_are_gone_are_refused_with_update_too(tmp_path: Path, prepared: Prepare) -> None:
    write(tmp_path / "raw", "a.mp4", "b.mp4")
    prepared(Folder)
    remove(tmp_path / "raw")
    with pytest.raises(UserError):
        prepared(Folder, update=True)


def test_an_update_adds_videos_and_moves_none(
    tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "raw", *(f"{number}.mp4" for number in range(8)))
    (tmp_path / "raw/broken.mp4").write_text("no video")
    folder = prepared(Folder, eval_fraction=0.3).folder
    before = names(folder)
    write(tmp_path / "raw", *(f"new{number}.mp4" for number in range(6)))
    converted: list[str] = []
    convert = staging.convert

    def count(raw: RawVideo, *arguments: Any) -> staging.StoredVideo:
        converted.append(raw.name)
        return convert(raw, *arguments)

    monkeypatch.setattr(staging, "convert", count)
    summary = prepared(Folder, eval_fraction=0.3, update=True, workers=1)
    after = names(folder)
    assert sum(summary.num_videos.values()) == 14 and [item.path for item in summary.skipped] == ["broken.mp4"]
    assert all(set(videos) <= set(after[split]) for split, videos in before.items())
    assert len(after["eval"]) > len(before["eval"])
    assert {name for name in converted if name.startswith("new")} == {f"new{number}.mp4" for number in range(6)}
    assert set(converted) <= {"broken.mp4", *(f"new{number}.mp4" for number in range(6))}  # the others are copied
    for split in after:
        source = RecordSource(folder, split)
        assert all(frame_numbers(source.read(video, [3, 19])) == [3, 19] for video in range(len(source)))
    assert prepared(Folder, eval_fraction=0.3) is None


@pytest.mark.parametrize("renames", [1, 2])
def test_an_update_that_is_killed_leaves_the_old_or_the_new_data_set(
    tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    write(tmp_path / "raw", "a.mp4", "b.mp4")
    folder = prepared(Folder).folder
    write(tmp_path / "raw", "c.mp4")
    rename, done = os.rename, []

    def stop(source: Path, target: Path) -> None:
        done.extend([1] if folder in (source, target) else [])
        if len(done) == renames:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(completion.os, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        prepared(Folder, update=True)
    monkeypatch.setattr(completion.os, "rename", rename)
    prepared(Folder, update=True)
    assert sorted(name for found in names(folder).values() for name in found) == ["a.mp4", "b.mp4", "c.mp4"]
    assert not (folder.parent / "staging").exists()


def test_new_videos_go_where_the_authors_or_their_group_are() -> None:
    def video(name: str, split: str = "train", group: str = "") -> RawVideo:
        return RawVideo(name, Path(name), split, group=group)

    def held_out(videos: list[RawVideo]) -> dict[str, list[RawVideo]]:
        return divide(videos, 0.5, 0.0, seed=0)

    old = [video("a1", group="a"), video("b1", group="b"), video("t1", "test")]
    previous = {"train": {"a1"}, "eval": {"b1"}, "test": {"t1"}}
    new = [video("a2", group="a"), video("b2", group="b"), video("t2", "test"), video("c1"), video("d1")]
    splits = keep_splits([*old, *new], previous, held_out)
    found = {split: {v.name for v in chosen} for split, chosen in splits.items()}
    assert {"a1", "a2"} <= found["train"] and {"b1", "b2"} <= found["eval"] and found["test"] == {"t1", "t2"}
    assert len(found["train"] & {"c1", "d1"}) == len(found["eval"] & {"c1", "d1"}) == 1

    shared = {"train": {"a1"}, "eval": {"t1"}, "test": {"t1"}}  # nothing was held out: eval is test
    splits = keep_splits([old[0], old[2], new[2], new[3]], shared, held_out)
    assert {split: [v.name for v in chosen] for split, chosen in splits.items()} == {
        "train": ["a1", "c1"], "eval": ["t1", "t2"], "test": ["t1", "t2"]
    }  # fmt: skip


def test_the_data_card_shows_what_there_is(tmp_path: Path, prepared: Prepare) -> None:
    moving = np.stack([np.roll(np.random.default_rng(0).integers(0, 255, (48, 64, 3)), 2 * t, 1) for t in range(17)])
    for name in ("a", "b"):
        write_frames(tmp_path / "raw" / name, moving.astype(np.uint8))
    (tmp_path / "raw/<b>.mp4").write_text("no video")
    folder = prepared(Folder).folder
    store_flows(folder, "train", FlowOptions(16, 32, 0.008), threads=1)
    page = write_card(folder, FOLDER).read_text()
    assert "flow over 16 frames" in page and "flow=dis flow_size=32" in page
    assert len(re.findall("<svg", page)) == 3
    assert list_sha256(names(folder)["train"]) in page and "&lt;b&gt;.mp4" in page
    for picture in re.findall(r'<img src="([^"]+)"', page):
        assert (folder / "card" / picture).is_file()
    opacity = np.asarray(Image.open(folder / "card" / "contact_train.png"))[..., 3]
    count = len(names(folder)["train"])
    assert opacity[64, 64] == 255 and not opacity[:, count * 130 + 2 :].any() and opacity.shape[1] == 8 * 130 + 2
    assert "lossless" in page
