"""Every builder reads the original download and the layout of the release; damaged and missing files are told."""

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from i2v_jax.config_files import load
from i2v_jax.data import lists, tfrecords
from i2v_jax.data.bair.builder import Bair
from i2v_jax.data.dtdb.builder import Dtdb, DtdbFire
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.human36m.builder import Human36M
from i2v_jax.data.iper.builder import Iper
from i2v_jax.data.landscape.builder import Landscape
from i2v_jax.data.poking_plants.builder import PokingPlants
from i2v_jax.data.registry import open_split
from i2v_jax.data.video_builder import Summary, VideoBuilder, find
from i2v_jax.errors import UserError
from i2v_jax.input import record_files
from i2v_jax.input.sources import RecordSource
from tests.data import raw_copies
from tests.data.conftest import Prepare
from tests.input.helpers import frame_numbers, numbered_frames, write_frames, write_video


def names(summary: Summary) -> dict[str, list[str]]:
    sources = {split: RecordSource(summary.folder, split) for split in summary.num_videos}
    return {split: [source.name(i) for i in range(len(source))] for split, source in sources.items()}


def reasons(summary: Summary) -> dict[str, str]:
    return {item.path: item.reason for item in summary.skipped}


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(32), b"\xff" * 32, bytes(4096), bytes(100_000)])
def test_checksums(data: bytes) -> None:
    known = {b"": 0, b"123456789": 0xE3069283, bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43}
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ 0x82F63B78 * (state & 1)
    assert tfrecords.crc32c(data) == state ^ 0xFFFFFFFF == known.get(data, state ^ 0xFFFFFFFF)


@pytest.mark.parametrize("write", [raw_copies.bair, raw_copies.bair_converted])
def test_bair(tmp_path: Path, prepared: Prepare, write: Callable[[Path], None]) -> None:
    write(tmp_path / "raw")
    summary = prepared(Bair)
    found = names(summary)
    assert found["eval"][0] == "eval/traj_256_to_511/1" and found["test"][0] == "test/traj_0_to_255/1"
    if write is raw_copies.bair:
        assert summary.num_videos == {"train": 4, "eval": 2, "test": 2}
        assert found["train"][0] == "train/traj_512_to_767/1"
    source = RecordSource(summary.folder, "test")
    assert source.label_names == ("endpoint",)
    assert frame_numbers(source.read(0, range(30))) == list(range(30))
    assert source.labels(0, range(3, 20))["endpoint"] == pytest.approx([19 / 7, 0, -19 / 7], rel=1e-6)


def test_damaged_records_are_told_and_the_others_taken(tmp_path: Path, prepared: Prepare) -> None:
    for name, content in raw_copies.bair_files().items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        damaged = bytearray(content)
        if "traj_512" in name:
            damaged[50_000] ^= 1  # in the bytes of the first record
        if "traj_10240" in name:
            damaged[3] ^= 1  # in its length
        if "test" in name:
            del damaged[-10:]
        path.write_bytes(damaged)
    summary = prepared(Bair)
    assert {split: len(found) for split, found in names(summary).items()} == {"train": 2, "eval": 2, "test": 1}
    assert reasons(summary).keys() == {
        "train/traj_512_to_767/1",
        "softmotion30_44k/train/traj_10240_to_10495.tfrecords",
        "softmotion30_44k/test/traj_0_to_255.tfrecords",
    }


def test_bair_without_positions_has_no_label(tmp_path: Path, prepared: Prepare) -> None:
    raw_copies.bair_converted(tmp_path / "raw")
    (tmp_path / "raw/eval/traj_256_to_511/1/endeffector_positions.csv").unlink()
    summary = prepared(Bair)
    assert summary.num_videos == {"train": 1, "eval": 1, "test": 1}
    assert all(RecordSource(summary.folder, split).label_names == () for split in summary.num_videos)


def test_landscape_is_that_of_the_lists(tmp_path: Path, prepared: Prepare) -> None:
    raw_copies.landscape(tmp_path / "raw")
    summary = prepared(Landscape)
    expected = raw_copies.landscape_clips()
    assert {name: split for split, found in names(summary).items() for name in found} == {
        name: split for name, split in expected.items() if split
    }
    source = RecordSource(summary.folder, "test")
    assert frame_numbers(source.read(0, range(35))) == list(range(35))  # gaps are closed
    told = reasons(summary)
    assert all("none" in told[name] for name, split in expected.items() if not split)
    assert len(told) == 2 + 1074 + 112 + 153 - 7  # the clips of the lists that the copy lacks


def test_the_lists_are_those_of_the_release() -> None:
    counts = {split: set(lists.published("landscape", split)) for split in ("train", "eval", "test")}
    assert {split: len(clips) for split, clips in counts.items()} == {"train": 1074, "eval": 112, "test": 153}
    notice = (Path(lists.__file__).parent / "NOTICE.md").read_text()
    for path in [*Path(lists.__file__).parent.glob("*/*.txt")]:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in notice


PEOPLE = ("006_1_1", "008_1_2", "019_2_1")  # of the release's lists train, val and test


def test_iper(tmp_path: Path, prepared: Prepare) -> None:
    raw_copies.iper(tmp_path / "raw", [*PEOPLE, "099_1_1"])
    write_video(tmp_path / "raw/iPER_1024_video_release/006_1_1.mp4", numbered_frames(20))
    summary = prepared(Iper)
    assert names(summary) == {split: [name] for split, name in zip(("train", "eval", "test"), PEOPLE, strict=True)}
    told = reasons(summary)
    assert "twice" in told["006_1_1"] and "not in" in told["iPER_256_video_release/iPER_256_video_release/099_1_1.mp4"]
    assert len(told) == 2 + 206 - 3
    assert RecordSource(summary.folder, "train").object_name(0) == "006_1"
    data = load("iper:model=poke", [f"data.dir={summary.folder}"]).data  # the poke model takes the authors' two lists
    train = open_split(data, "train")
    assert isinstance(train, RecordSource)
    assert ([train.name(i) for i in range(len(train))], train.split) == (list(PEOPLE[:2]), "train")
    assert train.read(1, [3]).shape == (1, 64, 64, 3)  # checks the name that the record has
    assert record_files.path(tmp_path, train.stored_splits, 1) == tmp_path / "eval/000000.npy"
    assert open_split(data, "eval").content_sha256 == RecordSource(summary.folder, "test").content_sha256


@pytest.mark.parametrize("lists_of", ["authors", "own pair", "own three"])
def test_lists_beside_the_videos_of_iper(tmp_path: Path, lists_of: str) -> None:
    """The authors' pair gives the release's splits; other lists replace them, and `val.txt` is the eval of three."""
    raw_dir = tmp_path
    for name in PEOPLE:
        (raw_dir / f"{name}.mp4").touch()
    if lists_of == "authors":
        train = [line for name in ("train", "val") for line in lists.published("iper", name)]
        (raw_dir / "train.txt").write_text("\n".join(train))
        (raw_dir / "val.txt").write_text("\n".join(lists.published("iper", "test")))
        expected = ["train", "eval", "test"]
    else:
        (raw_dir / "train.txt").write_text("019/2/1\n")
        (raw_dir / "val.txt").write_text("006_1_1.mp4\n")
        expected = ["test", "", "train"]
    if lists_of == "own three":
        (raw_dir / "test.txt").write_text("008_1_2\n")
        expected = ["eval", "test", "train"]
    found = {video.name: video.split for video in Iper.find(raw_dir)[0]}
    assert [found.get(name, "") for name in PEOPLE] == expected


@pytest.mark.parametrize("preset", ["default", "release"])
def test_poking_plants(tmp_path: Path, prepared: Prepare, preset: str) -> None:
    raw_copies.poking_plants(tmp_path / "raw")
    summary = prepared(PokingPlants, preset=preset, min_frames=3)
    plants = ["VID_0_1.mkv", "VID_0_2.mkv"] + (["VID_8_1.mkv"] if preset == "default" else [])
    found = names(summary)
    assert found["train"] == [f"{name} (train)" for name in plants]
    assert found["eval"] == found["test"] == [f"{name} (test)" for name in plants]
    sources = [RecordSource(summary.folder, split) for split in ("train", "test")]
    assert [source.num_frames(0) for source in sources] == [48, 12]
    assert [sources[0].object_name(i) for i in range(2)] == ["0", "0"]
    assert len(summary.skipped) == (0 if preset == "default" else 2)


@pytest.mark.parametrize("part", ["poking_plants.z01", "poking_plants.zip"])
def test_a_missing_part_of_a_zip_file_is_told(tmp_path: Path, part: str) -> None:
    raw_copies.poking_plants(tmp_path)
    (tmp_path / part).unlink()
    found, skipped = find(PokingPlants, tmp_path, "default")
    assert not found and all("parts" in item.reason or "missing" in item.reason for item in skipped)
    assert [item.path for item in skipped] == (
        ["poking_plants.zip"] if part != "poking_plants.zip" else ["poking_plants.z01", "poking_plants.z02"]
    )


def test_human36m(tmp_path: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    raw_copies.human36m(tmp_path / "raw")
    archives = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (tmp_path / "raw").iterdir()}
    archives["Videos_S5.tgz"] = "0" * 32
    monkeypatch.setattr(lists, "published", lambda *_: [f"{md5}  archives/{name}" for name, md5 in archives.items()])
    summary = prepared(Human36M, every=8, preset="release")
    found = names(summary)
    assert found["train"] == ["S1/Eating 1.54138969.mp4", "S1/Eating 1.55011271.mp4"]
    assert found["eval"] == found["test"] == ["S9/Eating.54138969.mp4", "S11/Eating.54138969.mp4"]
    assert RecordSource(summary.folder, "train").num_frames(0) == 19  # of 150
    told = reasons(summary)
    assert "MD5" in told["Videos_S5.tgz"] and "all actions" in told["Videos_S1/S1/Videos/_ALL 1.54138969.mp4"]


def test_dtdb_uses_its_eval_folder_to_test(tmp_path: Path, prepared: Prepare) -> None:
    for name in ("train/a", "train/b", "eval/c"):
        write_frames(tmp_path / "raw/fire" / name, numbered_frames(17), suffix=".jpg")
    (tmp_path / "raw/clouds").mkdir()
    assert names(prepared(DtdbFire)) == {"train": ["train/a", "train/b"], "eval": ["eval/c"], "test": ["eval/c"]}


@pytest.mark.parametrize("layout", ["{split}/{texture}/{name}.mp4", "DTDB/{texture}/{split}/{name}.mp4"])
def test_dtdb_as_classes(tmp_path: Path, layout: str) -> None:
    for split, name in (("train", "a"), ("test", "b")):
        for texture in ("clouds", "fire"):
            path = tmp_path / layout.format(split=split, texture=texture, name=name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    found, _ = find(Dtdb, tmp_path, "default")
    assert {video.name: video.split for video in found} == {
        "clouds/a.mp4": "train", "fire/a.mp4": "train", "clouds/b.mp4": "test", "fire/b.mp4": "test"
    }  # fmt: skip


def test_records_of_something_else_are_told(tmp_path: Path, prepared: Prepare) -> None:
    for split, records in (("train", [b"no example", b""]), ("test", [raw_copies.bair_example(0)])):
        (tmp_path / "raw" / split).mkdir(parents=True)
        (tmp_path / f"raw/{split}/traj_0_to_1.tfrecords").write_bytes(raw_copies.tfrecord(records))
    summary = prepared(Bair)
    assert summary.num_videos == {"test": 1}
    assert len(summary.skipped) == 2 and all("not of this data set" in item.reason for item in summary.skipped)


def test_a_damaged_member_is_told_and_the_others_taken(tmp_path: Path, prepared: Prepare) -> None:
    raw = tmp_path / "raw"
    raw_copies.iper(raw, ["a", "b", "c"])
    (path,) = raw.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    summary = prepared(Folder, eval_fraction=0.0, test_fraction=0.0)
    assert summary.num_videos["train"] == 2
    assert [Path(item.path).name for item in summary.skipped] == ["b.mp4"] and "damaged" in summary.skipped[0].reason


@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_tar_file_gives_the_files_before(tmp_path: Path, compressed: bool) -> None:
    raw_copies.human36m(tmp_path, {"S1": [f"Eating {take}.54138969" for take in range(4)]})
    path = tmp_path / "Videos_S1.tgz"
    if not compressed:
        with tarfile.open(path) as source, tarfile.open(tmp_path / "videos.tar", "w") as target:
            for member in source:
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
        path.unlink()
        path = tmp_path / "videos.tar"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    found, skipped = find(VideoBuilder, tmp_path, "default")
    assert 0 < len(found) < 4
    assert [item.path for item in skipped] == [path.name] and "truncated" in skipped[0].reason


@pytest.mark.parametrize("content", [b"", b"\x01" * 5000])
def test_an_archive_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    for builder, name in ((Bair, "a.tar"), (Landscape, "a.zip"), (Human36M, "a.tgz")):
        (tmp_path / builder.name).mkdir()
        (tmp_path / builder.name / name).write_bytes(content)
        found, skipped = find(builder, tmp_path / builder.name, "default")
        assert not found and [item.path for item in skipped] == [name]


def test_lists_that_are_not_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        lists.read(_written(tmp_path / "train.txt", b"\xff\xfe"))
    assert raised.value.field == "train.txt"
    for read in (lists.text, lists.rows):
        with pytest.raises(UserError):
            read(_written(tmp_path / "a.csv", b"a\xff,1\n"))
    assert lists.rows(_written(tmp_path / "a.csv", b"\xef\xbb\xbfa,1\r\n\r\nb,2")) == [["a", "1"], ["b", "2"]]


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
