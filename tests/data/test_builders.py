"""Tests every builder on a small folder with the layout of its data set."""

from pathlib import Path

import numpy as np
import pytest

from i2v_jax.config_files import load
from i2v_jax.data.bair.builder import Bair
from i2v_jax.data.dtdb.builder import DtdbClouds, DtdbFire
from i2v_jax.data.human36m.builder import Human36M
from i2v_jax.data.iper.builder import Iper
from i2v_jax.data.landscape.builder import Landscape
from i2v_jax.data.poking_plants.builder import PokingPlants
from i2v_jax.data.registry import open_split
from i2v_jax.data.taichi.builder import Taichi
from i2v_jax.errors import UserError
from i2v_jax.input import directions, pipeline
from i2v_jax.input.procedural import sky
from i2v_jax.input.sources import RecordSource, VideoSource, open_source
from tests.data.conftest import Prepare
from tests.input.helpers import frame_numbers, numbered_frames, write_frames, write_video


def names(source: VideoSource) -> list[str]:
    return [source.name(i) for i in range(len(source))]


def test_landscape(tmp_path: Path, prepared: Prepare) -> None:
    for clip in ("sky_train/v1/v1_1", "sky_train/v1/v1_2", "sky_train/v2/v2_1", "sky_test/v3/v3_1"):
        write_frames(tmp_path / "raw" / clip, numbered_frames(18), first=91, suffix=".jpg")
    summary = prepared(Landscape)
    assert sum(summary.num_videos.values()) == 4
    splits = {split: names(RecordSource(summary.folder, split)) for split in summary.num_videos}
    assert splits["test"] == ["sky_test/v3/v3_1"]
    assert {name.split("/")[1] for name in splits["train"]}.isdisjoint(name.split("/")[1] for name in splits["eval"])
    source = open_source("landscape", str(tmp_path / "out"), "test")
    assert source.num_frames(0) == 18
    assert frame_numbers(source.read(0, range(6, 12))) == list(range(6, 12))


def test_landscape_without_its_folders(tmp_path: Path, prepared: Prepare) -> None:
    write_frames(tmp_path / "raw" / "v1", numbered_frames(18))
    with pytest.raises(UserError) as raised:
        prepared(Landscape)
    assert raised.value.field == "raw_dir"


def test_iper_with_lists_of_its_own(tmp_path: Path, prepared: Prepare) -> None:
    for name in ("001_1_1", "001_2_1", "002_1_1", "003_1_1", "004_1_1"):
        write_video(tmp_path / "raw" / f"{name}.mp4", numbered_frames(17))
    (tmp_path / "raw" / "train.txt").write_text("001/1/1\n001/2/1\n002/1/1\n")
    (tmp_path / "raw" / "val.txt").write_text("003_1_1\n")
    summary = prepared(Iper, eval_fraction=0.5)
    assert names(RecordSource(summary.folder, "test")) == ["003_1_1"]
    assert {split: len(RecordSource(summary.folder, split)) for split in ("train", "eval")} in (
        {"train": 2, "eval": 1},
        {"train": 1, "eval": 2},
    )
    assert [item.path for item in summary.skipped] == ["004_1_1.mp4"]


def write_bair(folder: Path, rows: int = 30) -> np.ndarray:
    write_frames(folder, numbered_frames(30, 32, 32))
    positions = np.arange(rows * 3).reshape(rows, 3) / 7
    (folder / "endeffector_positions.csv").write_text("\n".join(",".join(map(str, row)) for row in positions) + "\n")
    return positions


def test_bair(tmp_path: Path, prepared: Prepare) -> None:
    for name in ("train/traj_0_to_255/0", "train/traj_0_to_255/1", "test/traj_0_to_255/0"):
        positions = write_bair(tmp_path / "raw" / name)
    write_bair(tmp_path / "raw/train/traj_0_to_255/2", rows=12)
    summary = prepared(Bair)
    assert summary.num_videos == {"train": 1, "eval": 1, "test": 1}
    assert [item.reason for item in summary.skipped] == [
        "endeffector_positions.csv must have one line x,y,z for each of the 30 frames"
    ]
    source = open_source("bair", str(tmp_path / "out"), "test")
    assert source.label_names == ("endpoint",)
    assert source.labels(0, range(3, 20))["endpoint"] == pytest.approx(positions[19], rel=1e-6)


def test_dtdb_directions_come_from_the_list_or_are_measured(tmp_path: Path, prepared: Prepare) -> None:
    for index in range(3):
        write_frames(tmp_path / f"raw/clouds/c{index}", sky.render("train", index, 64, range(17)))
    (tmp_path / "raw/clouds/directions.csv").write_text("c1,123.0\n")
    summary = prepared(DtdbClouds, eval_fraction=0.0, test_fraction=0.0)
    source = open_source("dtdb_clouds", str(tmp_path / "out"), "train")
    found = {source.name(i): int(source.labels(i, range(17))["direction"]) for i in range(3)}
    assert summary.num_videos == {"train": 3}
    assert found["c1"] == 12
    for index in (0, 2):
        measured, true = directions.bin_center(found[f"c{index}"]), sky.sky_motion("train", index).angle
        assert directions.angular_error(measured, true) < 15


def test_dtdb_other_textures_have_no_direction(tmp_path: Path, prepared: Prepare) -> None:
    write_video(tmp_path / "raw/fire/f.avi", numbered_frames(17))
    prepared(DtdbFire)
    assert open_source("dtdb_fire", str(tmp_path / "out"), "train").label_names == ()


@pytest.mark.parametrize("store", ["frames", "video"])
def test_poking_plants_is_split_inside_each_video(tmp_path: Path, prepared: Prepare, store: str) -> None:
    write_video(tmp_path / "raw/fern.mp4", numbered_frames(40))
    if store == "frames":
        write_frames(tmp_path / "raw/palm", numbered_frames(30))
    else:
        write_video(tmp_path / "raw/palm.webm", numbered_frames(30))
    summary = prepared(PokingPlants, store=store, min_frames=3)
    assert summary.num_videos == {"train": 2, "eval": 2, "test": 2}
    sources = {split: RecordSource(summary.folder, split) for split in ("train", "test")}
    palm = "palm" if store == "frames" else "palm.webm"
    assert names(sources["test"]) == ["fern.mp4 (test)", f"{palm} (test)"]
    assert [sources["test"].object_name(video) for video in range(2)] == ["fern", "palm"]
    for video, total in ((0, 40), (1, 30)):
        read = [frame_numbers(source.read(video, range(source.num_frames(video)))) for source in sources.values()]
        assert [len(part) for part in read] == [int(0.8 * total), total - int(0.8 * total)]
        assert [number for part in read for number in part] == list(range(total))


@pytest.mark.parametrize("objects", ["", "one.mp4 fern\ntwo fern\n\nlast palm\n"])
def test_videos_of_one_plant_share_its_probability(tmp_path: Path, prepared: Prepare, objects: str) -> None:
    """Two of the three videos show one plant: it is drawn as often as the other one."""
    names_of = ("one", "two", "last") if objects else ("fern_1", "fern_2", "palm_1")
    for name in names_of:
        write_video(tmp_path / "raw" / f"{name}.mp4", numbered_frames(40))
    if objects:
        (tmp_path / "raw" / "objects.txt").write_text(objects)
    prepared(PokingPlants, min_frames=3)
    source = open_source("poking_plants", str(tmp_path / "out"), "train")
    found = {source.name(video).partition(".")[0]: source.object_name(video) for video in range(3)}
    assert found == dict(zip(names_of, ("fern", "fern", "palm"), strict=True))

    data = load("poking_plants", ["data.frames=3", "data.poke.flow=dis"]).data
    data.dir = str(tmp_path / "out")
    order = pipeline.make_pipeline(open_split(data, "train"), data, batch_size=3, seed=0, train=True).reader.order
    assert data.clips_per_video.train == 0
    frames = sum(source.num_frames(video) for video in range(3))
    assert order.num_clips == frames
    clips = [order.at(position)[1] * 3 // frames for position in range(3000)]  # videos of equal length
    drawn = {name: sum(source.object_name(video) == name for video in clips) / 3000 for name in ("fern", "palm")}
    assert drawn == pytest.approx({"fern": 0.5, "palm": 0.5}, abs=0.05)


@pytest.mark.parametrize(("objects", "value"), [("a fern\n", "b.mp4"), ("fern\n", "fern")])
def test_a_list_of_plants_that_lacks_something(tmp_path: Path, prepared: Prepare, objects: str, value: str) -> None:
    for name in ("a", "b"):
        write_video(tmp_path / "raw" / f"{name}.mp4", numbered_frames(20))
    (tmp_path / "raw" / "objects.txt").write_text(objects)
    with pytest.raises(UserError) as raised:
        prepared(PokingPlants)
    assert (raised.value.field, raised.value.value) == ("objects.txt", value)


def test_taichi_recordings_stay_together(tmp_path: Path, prepared: Prepare) -> None:
    for name in ("train/a#1#20.mp4", "train/a#30#50.mp4", "train/b#1#20.mp4", "test/c#1#20.mp4"):
        write_video(tmp_path / "raw" / name, numbered_frames(17))
    summary = prepared(Taichi, eval_fraction=0.5)
    splits = {split: names(RecordSource(summary.folder, split)) for split in summary.num_videos}
    assert splits["test"] == ["test/c#1#20"]
    recordings = [{Path(name).name[0] for name in splits[split]} for split in ("train", "eval")]
    assert sorted(map(sorted, recordings)) == [["a"], ["b"]]


def test_human36m_is_split_by_actor(tmp_path: Path, prepared: Prepare) -> None:
    for name in ("S1/Videos/Eating 1.54138969", "S1/Videos/Eating 1.55011271", "S5/Videos/Posing.60457274"):
        write_video(tmp_path / "raw" / f"{name}.mp4", numbered_frames(17))
    write_video(tmp_path / "raw/S11/Videos/Eating.54138969.mp4", numbered_frames(17))
    write_video(tmp_path / "raw/other.mp4", numbered_frames(17))
    summary = prepared(Human36M, eval_fraction=0.5)
    sources = {split: RecordSource(summary.folder, split) for split in summary.num_videos}
    assert names(sources["test"]) == ["S11/Eating.54138969.mp4"]
    assert sources["test"].object_name(0) == "S11"
    actions = [{name.split(".")[0] for name in names(sources[split])} for split in ("train", "eval")]
    assert sorted(map(sorted, actions)) == [["S1/Eating 1"], ["S5/Posing"]]
    assert [item.path for item in summary.skipped] == ["other.mp4"]
