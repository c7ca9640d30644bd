"""Names of files: their order, and names for what is made of them."""

import os
from pathlib import Path

import pytest

from i2v_jax import files
from i2v_jax.errors import UserError
from i2v_jax.media import paths
from tests.input.helpers import numbered_frames, write_frames


def test_natural_order() -> None:
    names = ["frame10.jpg", "frame9.jpg", "Frame2.jpg", "frame9b.jpg", "a.jpg"]
    assert sorted(names, key=paths.natural_key) == ["a.jpg", "Frame2.jpg", "frame9.jpg", "frame9b.jpg", "frame10.jpg"]


def test_frame_files_ignore_hidden_and_other_files(tmp_path: Path) -> None:
    write_frames(tmp_path, numbered_frames(12), first=99)
    (tmp_path / ".frame1.png").touch()
    (tmp_path / "positions.csv").touch()
    assert [p.name for p in paths.frame_files(tmp_path)] == [f"frame{n}.png" for n in range(99, 111)]


def test_names_do_not_collide() -> None:
    assert paths.unique_names(["x/a.jpg", "y/a.png", "b.png", "z/a.gif"]) == ["a", "a~2", "b", "a~3"]
    assert paths.unique_names(["a.png", "a~3.png", "x/a.png", "y/a.png"]) == ["a", "a~3", "a~2", "a~4"]


@pytest.mark.parametrize("stem", ["a" * 251, "雲" * 83, "été, " * 40])
def test_long_names_leave_room_for_suffixes(tmp_path: Path, stem: str) -> None:
    """Two names that differ in their last letter alone stay different."""
    (short, other), again = (paths.unique_names([f"{stem[:-1]}{end}.png" for end in ends]) for ends in ("xy", "xy"))
    assert len({short, other}) == 2
    assert again == [short, other]
    assert stem.startswith(short.rpartition("~")[0])
    files.write_bytes(tmp_path / f"{short}_correlation_00.png", b"x")


def test_short_names_stay() -> None:
    assert paths.unique_names(["a" * 200 + ".png"]) == ["a" * 200]


def test_names_in_other_encodings_can_be_printed() -> None:
    assert paths.unique_names([os.fsdecode(b"Mu\xf1oz.png"), "Muñoz.jpg"]) == ["Muñoz", "Muñoz~2"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError) as raised:
            files.require_writable(folder)
        assert raised.value.value == str(folder)
    files.require_writable(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
