"""What is found below a folder: a tree as {path: kind} becomes {name: path}, and what is left out."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2v_jax.media import folders

_PICTURES = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (0, 100, 200)]


def grow(root: Path, tree: dict[str | bytes, str]) -> None:
    """Makes files of the kinds "file" and "pages" (an animated picture), links "-> TARGET", and empty folders "dir"."""
    for name, kind in tree.items():
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind.startswith("-> "):
            os.symlink(kind.removeprefix("-> "), path)
        elif kind == "dir":
            os.makedirs(path)
        elif kind == "pages":
            first, *others = _PICTURES
            first.save(os.fsdecode(path), save_all=True, append_images=others)
        else:
            Path(os.fsdecode(path)).touch()


_FRAMES: dict[str | bytes, str] = {f"a/{number}.png": "file" for number in range(3)}

CASES: dict[str, tuple[dict[str | bytes, str], list[str], list[str]]] = {
    "videos and folders of frames": ({**_FRAMES, "b.mp4": "file", "c/d.MOV": "file"}, ["a", "b.mp4", "c/d.MOV"], []),
    "numbers in order": ({f"{n}.mp4": "file" for n in (10, 9, 2)}, ["2.mp4", "9.mp4", "10.mp4"], []),
    "hidden": ({".a/b.mp4": "file", "._c.mp4": "file", "d.mp4": "file"}, ["d.mp4"], []),
    "thumbnails beside videos": (
        {"a.mp4": "file", "a.png": "file", "b.mp4": "file", "b.jpg": "file"}, ["a.mp4", "b.mp4"], ["."]
    ),
    "a cover beside videos": ({"s/a.mp4": "file", "s/poster.jpg": "file"}, ["s/a.mp4"], ["s"]),
    "animated thumbnails": ({"a.mp4": "file", "a.webp": "pages"}, ["a.mp4"], ["."]),
    "an animated picture beside a video": ({"a.mp4": "file", "b.webp": "pages"}, ["a.mp4", "b.webp"], []),
    "thumbnails elsewhere": (
        {"v/a.mp4": "file", "v/b.mp4": "file", "t/a.png": "file", "t/b.png": "file"}, ["v/a.mp4", "v/b.mp4"], ["t"]
    ),
    "frames elsewhere": ({**_FRAMES, "v/0.mp4": "file"}, ["a", "v/0.mp4"], []),
    "animated pictures": (
        {"s/a.webp": "pages", "s/b.tif": "pages", "s/c.png": "pages"}, ["s/a.webp", "s/b.tif", "s/c.png"], []
    ),
    "animated pictures and others": ({"s/a.webp": "pages", "s/b.png": "file"}, ["s/a.webp"], ["s"]),
    "a link to the top": ({"a/b.mp4": "file", "a/all": "-> .."}, ["a/b.mp4"], ["a/all"]),
    "a link to itself": ({"a/b.mp4": "file", "a/c": "-> c"}, ["a/b.mp4"], ["a/c"]),
    "links to each other": ({"a/x": "-> ../b", "b/y": "-> ../a", "b/c.mp4": "file"}, ["b/c.mp4"], ["a/x", "b/y"]),
    "a link before its folder": ({"a": "-> b", "b/c.mp4": "file"}, ["b/c.mp4"], ["a"]),
    "a file twice": ({"a.mp4": "-> b.mp4", "b.mp4": "file"}, ["b.mp4"], ["a.mp4"]),
    "a list of links": ({"all/1.png": "-> ../a/1.png", **_FRAMES}, ["a"], ["all/1.png"]),
    "links to files without suffixes": ({"blobs/1f": "file", "x/a.mp4": "-> ../blobs/1f"}, ["x/a.mp4"], []),
    "broken links": ({"a.mp4": "-> gone.mp4", "b.mp4": "file"}, ["b.mp4"], ["a.mp4"]),
    "names in Latin-1": ({b"Mu\xf1oz.mp4": "file", b"\xe9t\xe9/1.png": "file"}, ["Muñoz.mp4", "été"], []),
    "equal names": ({b"Mu\xf1oz.mp4": "file", "Muñoz.mp4": "file"}, ["Muñoz.mp4", "Muñoz.mp4~2"], []),
    "names in Unicode": ({"雲 1.mp4": "file", "a b/été.mp4": "file"}, ["a b/été.mp4", "雲 1.mp4"], []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_video_is_found_once(tmp_path: Path, case: str) -> None:
    tree, videos, left_out = CASES[case]
    grow(tmp_path, tree)
    found = folders.find(tmp_path)
    assert list(found.videos) == videos
    assert list(found.left_out) == left_out
    assert all(path.exists() for path in found.videos.values())
    assert "\udcf1" not in "".join(found.videos)


def test_a_linked_folder_outside_is_read(tmp_path: Path) -> None:
    grow(tmp_path, {"elsewhere/a.mp4": "file", "raw/disk": "-> ../elsewhere", "raw/again": "-> ../elsewhere"})
    found = folders.find(tmp_path / "raw")
    assert list(found.videos) == ["again/a.mp4"]
    assert list(found.left_out) == ["disk"]


def test_one_animated_picture_among_many_stills_is_found(tmp_path: Path) -> None:
    grow(tmp_path, {f"{number}.webp": "pages" if number == 0 else "file" for number in range(200)})
    assert list(folders.find(tmp_path).videos) == ["0.webp"]


def test_others_are_told(tmp_path: Path) -> None:
    grow(tmp_path, {"a.mp4": "file", "b.pdf": "file", "c/d.txt": "file"})
    assert list(folders.find(tmp_path).others) == ["b.pdf", "c/d.txt"]
