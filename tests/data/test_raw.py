import dataclasses
import shutil
import tarfile
from pathlib import Path

import pytest

from i2v_jax.data.opening import opened
from i2v_jax.data.raw import RawVideo, divide, find_videos
from i2v_jax.errors import UserError
from tests.media.test_folders import CASES, grow


def named(count: int, split: str = "train", groups: int = 0) -> list[RawVideo]:
    return [
        RawVideo(f"{split}{i}", Path(f"{split}{i}"), split, group=f"g{i % groups}" if groups else "")
        for i in range(count)
    ]


def names(videos: list[RawVideo]) -> set[str]:
    return {video.name for video in videos}


def test_splits_are_disjoint_complete_and_repeatable() -> None:
    splits = divide(named(20), 0.1, 0.2, seed=0)
    assert {split: len(v) for split, v in splits.items()} == {"train": 14, "eval": 2, "test": 4}
    assert set.union(*(names(v) for v in splits.values())) == names(named(20))
    assert names(splits["test"]) == names(divide(reversed(named(20)), 0.1, 0.2, seed=0)["test"])
    assert names(splits["test"]) != names(divide(named(20), 0.1, 0.2, seed=1)["test"])


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (9, [7, 1, 1])])
def test_small_data_sets_keep_something_to_train_on(count: int, sizes: list[int]) -> None:
    assert [len(v) for v in divide(named(count), 0.1, 0.1, seed=0).values()] == sizes


def test_groups_stay_together() -> None:
    splits = divide(named(30, groups=6), 0.2, 0.2, seed=3)
    groups = [{video.group for video in chosen} for chosen in splits.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 6


def test_given_splits_are_kept() -> None:
    splits = divide([*named(10), *named(4, "test")], 0.2, 0.5, seed=0)
    assert names(splits["test"]) == names(named(4, "test"))
    assert (len(splits["train"]), len(splits["eval"])) == (8, 2)


def test_zero_fraction_holds_nothing_out() -> None:
    assert list(divide(named(10), 0.0, 0.0, seed=0)) == ["train"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        find_videos(tmp_path / "absent")
    assert raised.value.field == "raw_dir"


def test_finding_videos_in_nested_folders(tmp_path: Path) -> None:
    for name in ("train/a/frame1.jpg", "val/b.MP4", "test/deep/er/c.gif", "notes.txt", "report.pdf", ".hidden/d.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found, skipped = find_videos(tmp_path)
    assert {video.name: video.split for video in found} == {
        "train/a": "train",
        "val/b.MP4": "eval",
        "test/deep/er/c.gif": "test",
    }
    assert [(item.path, item.reason) for item in skipped] == [("report.pdf", "not a video or an image (.pdf)")]
    assert all(video.root == tmp_path for video in found)


_FLAT = {
    case: content
    for case, content in CASES.items()
    if not any(isinstance(name, bytes) or kind.startswith("->") for name, kind in content[0].items())
}


@pytest.mark.parametrize("form", ["zip", "gztar"])
@pytest.mark.parametrize("case", _FLAT)
def test_an_archive_holds_the_videos_of_its_folder(tmp_path: Path, case: str, form: str) -> None:
    tree, videos, left_out = _FLAT[case]
    grow(tmp_path / "folder", tree)
    (tmp_path / "raw").mkdir()
    archive = Path(shutil.make_archive(str(tmp_path / "raw/a"), form, tmp_path / "folder"))
    found, skipped = find_videos(tmp_path / "raw")
    assert [video.name for video in found] == [f"a/{name}" for name in videos]
    assert [item.path for item in skipped] == [
        archive.name if name == "." else f"{archive.name}/{name}" for name in left_out
    ]


def test_names_in_a_tar_file_may_be_absolute_or_above_its_folder_or_in_latin_1(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w", encoding="latin-1") as archive:
        for name in ("/abs/b.mp4", "../up/c.mp4", "./d.mp4", "./.hidden.mp4", "é.mp4"):
            archive.addfile(tarfile.TarInfo(name))
    found, _ = find_videos(tmp_path)
    assert [video.name for video in found] == ["t/../up/c.mp4", "t/abs/b.mp4", "t/d.mp4", "t/é.mp4"]
    for video in opened(found, tmp_path):
        assert isinstance(video, RawVideo)
        assert video.path.is_file() and tmp_path in video.path.resolve().parents


@dataclasses.dataclass(frozen=True)
class Line:
    """A video inside a text file: one of its lines names the frames."""

    number: int

    def take_out(self, path: Path, folder: Path) -> Path:
        for frame in path.read_text().splitlines()[self.number].split():
            (folder / f"{frame}.png").touch()
        return folder


def test_a_video_inside_a_file_is_a_folder_of_frames_until_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "videos.txt").write_text("a b\nc d e\n")
    videos = [RawVideo(f"{number}", tmp_path / "videos.txt", inside=Line(number)) for number in range(2)]
    found = {}
    for taken in opened(videos, tmp_path):
        assert isinstance(taken, RawVideo) and next(opened([taken], tmp_path)) == taken
        found[taken.name] = sorted(file.name for file in taken.path.iterdir())
    assert found == {"0": ["a.png", "b.png"], "1": ["c.png", "d.png", "e.png"]}
    assert [path.name for path in tmp_path.iterdir()] == ["videos.txt"]
    assert len({video.identity() for video in videos}) == 2
