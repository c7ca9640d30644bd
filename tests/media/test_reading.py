"""What is read of deep images, of images with several pages or long texts, and at which moments frames are shown."""

import io
import random
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from i2v_jax.media import frames, images
from i2v_jax.media.reading import Reading, is_paged
from i2v_jax.media.videos import VideoFile, iterate_frames
from tests.input.helpers import frame_numbers, numbered_frames, write_frames
from tests.media.kinds import changed, write

_SHAPE = np.linspace(0, 1, 48)[None].repeat(32, 0)  # from dark to bright


def _save(folder: Path, frames: list[np.ndarray], suffix: str) -> Path:
    """Writes deep frames, gray or RGB, as images."""
    folder.mkdir()
    for number, frame in enumerate(frames):
        if frame.ndim == 3:
            assert cv2.imwrite(str(folder / f"{number}{suffix}"), frame[..., ::-1])
        else:
            Image.fromarray(frame).save(folder / f"{number}{suffix}")
    return folder


_DEEP = [
    *[("uint16", 65535, 65000), ("uint16", 65535, 5000), ("uint16", 4095, 4095), ("uint16", 4095, 1100)],
    *[("uint16", 1023, 1000), ("uint16", 255, 255), ("int32", 4095, 4000), ("int32", 65535, 60000)],
    *[("int32", 100_000, 100_000), ("float32", 1, 1), ("float32", 1, 1.5), ("float32", 255, 200)],
    ("float32", 4095, 3000),
]
_DEEP_FILES = [
    (*deep, suffix, colors)
    for deep in _DEEP
    for suffix, types in ((".png", ["uint16"]), (".tif", ["uint16", "int32", "float32"]))
    for colors in (False, True)
    if deep[0] in types and (deep[0] != "int32" or not colors)
]


@pytest.mark.parametrize(("dtype", "white", "brightest", "suffix", "colors"), _DEEP_FILES)
def test_deep_images_have_one_range_per_video(
    tmp_path: Path, dtype: str, white: float, brightest: float, suffix: str, colors: bool
) -> None:
    """A fade: all frames but the last would be taken for images of fewer bits if each was looked at alone."""
    light = [brightest * level * _SHAPE for level in (0.01, 0.1, 1)]
    frames = [(value if dtype == "float32" else np.rint(value)).astype(dtype) for value in light]
    if colors:
        frames = [np.stack([frame, frame // 2, frame], -1) for frame in frames]
    reading = Reading(_save(tmp_path / "a", frames, suffix))
    shown = np.stack([frame.pixels for frame in reading]).astype(float)
    expected = np.stack(frames).astype(float).clip(0, white) * 255 / white
    assert np.abs(shown - (expected if colors else expected[..., None])).max() <= 0.6
    assert len(reading.notes) == 1


def test_values_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    frame = (
        np.stack([_SHAPE, np.full_like(_SHAPE, np.nan), np.full_like(_SHAPE, -3)]).astype(np.float32).reshape(96, 48)
    )
    frame[0, :2] = np.inf, -np.inf
    (pixels,) = [shown.pixels for shown in Reading(_save(tmp_path / "a", [frame], ".tif"))]
    assert pixels[1, 47].tolist() == [255, 255, 255]
    assert pixels[32:].max() == 0
    assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[0, 1].max() == 0


def _pages(count: int = 5) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in numbered_frames(count, offset=3)]


@pytest.mark.parametrize("suffix", [".webp", ".png", ".apng", ".tif", ".tiff", ".avif", ".gif"])
def test_pages_are_frames(tmp_path: Path, suffix: str) -> None:
    first, *others = _pages()
    options = {"lossless": True} if suffix == ".webp" else {}
    kind = "PNG" if suffix == ".apng" else None
    first.save(tmp_path / f"a{suffix}", kind, save_all=True, append_images=others, duration=40, **options)
    assert is_paged(tmp_path / f"a{suffix}") == (suffix != ".gif")  # which is a video by its suffix
    shown = np.stack([frame.pixels for frame in Reading(tmp_path / f"a{suffix}")])
    assert frame_numbers(shown) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("colors", [False, True])
def test_stacks_of_a_microscope(tmp_path: Path, dtype: type, colors: bool) -> None:
    pages = [(level * _SHAPE).astype(dtype) for level in (40, 400, 4000)] if dtype != np.uint8 else None
    pages = pages or [(level * _SHAPE).astype(dtype) for level in (20, 90, 250)]
    white = 255 if dtype == np.uint8 else 4095
    if colors and dtype != np.float32:
        pages = [np.stack([page] * 3, -1) for page in pages]
        assert cv2.imwritemulti(str(tmp_path / "a.tif"), pages)
    else:
        first, *others = [Image.fromarray(page) for page in pages]
        first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    shown = np.stack([frame.pixels for frame in Reading(tmp_path / "a.tif")]).astype(float)
    expected = np.stack(pages).astype(float) * 255 / white
    assert np.abs(shown - (expected if expected.ndim == 4 else expected[..., None])).max() <= 0.6


def test_a_picture_with_a_smaller_copy_of_itself_is_no_video(tmp_path: Path) -> None:
    picture = _pages(1)[0]
    picture.save(tmp_path / "a.tif", save_all=True, append_images=[picture.resize((8, 6))])
    assert not is_paged(tmp_path / "a.tif")


def test_the_picture_for_programs_without_animation_is_no_frame(tmp_path: Path) -> None:
    first, *others = _pages()
    first.save(tmp_path / "a.png", save_all=True, append_images=others, default_image=True, duration=40)
    assert frame_numbers(np.stack([frame.pixels for frame in Reading(tmp_path / "a.png")])) == [4, 5, 6, 7]


@pytest.mark.parametrize("chunk", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_long_texts_do_not_matter(tmp_path: Path, chunk: str) -> None:
    random.seed(0)
    text = "".join(random.choices("abcdef {}[]:,0123456789", k=1_500_000))
    info = PngImagePlugin.PngInfo()
    content = {
        "tEXt": b"workflow\0" + text.encode(),
        "zTXt": b"workflow\0\0" + zlib.compress(text.encode()),
        "iTXt": b"workflow\0\1\0\0\0" + zlib.compress(text.encode()),
        "iCCP": b"profile\0\0" + zlib.compress(bytes(1_500_000)),
    }[chunk]
    info.add(chunk.encode(), content)
    image = _pages(1)[0]
    image.save(tmp_path / "a.png", pnginfo=info)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    for read in (images.read_rgb(tmp_path / "a.png"), images.decode_upload(buffer.getvalue())):
        np.testing.assert_array_equal(read, np.asarray(image))
    kept = frames.keep(tmp_path / "a.png", np.asarray(image))
    assert kept is not None and len(kept[0]) < 4096
    np.testing.assert_array_equal(frames.decode(kept[0]), np.asarray(image))
    first, *others = _pages()
    first.save(tmp_path / "b.png", save_all=True, append_images=others, pnginfo=info)
    assert is_paged(tmp_path / "b.png") and not is_paged(tmp_path / "a.png")


def test_color_profiles_are_applied(tmp_path: Path) -> None:
    """A profile whose red and blue are exchanged: the picture is shown in the colors that it means."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    plain = srgb.tobytes()
    exchanged = bytearray(plain.replace(b"rXYZ", b"xXYZ", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"xXYZ", b"bXYZ", 1))
    exchanged = exchanged.replace("sRGB built-in".encode("utf-16-be"), "other display".encode("utf-16-be"))
    image = Image.new("RGB", (8, 8), (200, 40, 10))
    for name, profile, expected in (
        ("a", plain, [200, 40, 10]),
        ("b", bytes(exchanged), [10, 40, 200]),
        ("c", b"x" * 99, [200, 40, 10]),
    ):
        image.save(tmp_path / f"{name}.jpg", icc_profile=profile, quality=100, subsampling=0)
        assert np.abs(images.read_rgb(tmp_path / f"{name}.jpg")[4, 4].astype(int) - expected).max() <= 4
        assert images.is_plain_jpeg(tmp_path / f"{name}.jpg") == (name != "b")


def _numbers(path: Path, fps: float) -> list[int]:
    return frame_numbers(np.stack(list(iterate_frames(path, fps=fps))))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_variable_frame_rates_are_resampled_by_choice(tmp_path: Path, suffix: str) -> None:
    """At every moment, the frame that began last; times are in units of a millisecond."""
    times = [0, 40, 80, 400, 420, 440, 600]
    codec = "libvpx" if suffix == ".webm" else "libx264"
    path = write(tmp_path / f"a{suffix}", numbered_frames(7, offset=5), codec, times=times)
    assert _numbers(path, 0) == [5, 6, 7, 8, 9, 10, 11]
    assert _numbers(path, 10)[:6] == [5, 7, 7, 7, 8, 10]  # at 0, 100, ..., 500 ms
    assert _numbers(path, 25)[:4] == [5, 6, 7, 7]
    for fps, words in (
        (0, "with a variable frame rate, whose frames are all kept"),
        (10, "resampled to 10 frames per second"),
    ):
        video = VideoFile(path, fps=fps)
        list(video)
        assert video.notes == {words}


@pytest.mark.parametrize(("fps", "expected"), [(25, 50), (12.5, 25), (50, 100), (30, 60), (1, 2)])
def test_constant_frame_rates(tmp_path: Path, fps: float, expected: int) -> None:
    path = write(tmp_path / "a.mp4", numbered_frames(50)[:, :16, :16] // 2)
    assert len(list(iterate_frames(path, fps=fps))) == expected
    assert VideoFile(path).notes == set()


def test_pages_are_resampled(tmp_path: Path) -> None:
    first, *others = _pages(3)
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=[100, 300, 100], lossless=True)
    reading = Reading(tmp_path / "a.webp", fps=10)
    assert frame_numbers(np.stack([frame.pixels for frame in reading])) == [3, 4, 4, 4, 5]
    assert reading.notes == {"resampled to 10 frames per second"}


def test_equal_times_keep_all_frames(tmp_path: Path) -> None:
    """The durations of an mp4 say that two frames begin at the same time."""
    path = write(tmp_path / "a.mp4", numbered_frames(20), bf="0")

    def without_time(payload: bytes) -> bytes:
        count, duration = int.from_bytes(payload[8:12], "big"), payload[12:16]
        rows = [(8, duration), (1, bytes(4)), (count - 9, duration)]
        return payload[:4] + (3).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") + time for n, time in rows)

    place = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")
    path.write_bytes(changed(path.read_bytes(), place, without_time))
    video = VideoFile(path)
    assert frame_numbers(np.stack(list(video))) == list(range(20))
    assert "with equal time stamps, whose frames are all kept" in video.notes


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    import os

    write(tmp_path / "a.mp4", numbered_frames(3))
    name = os.fsdecode(b"Mu\xf1oz.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / name)
    assert frame_numbers(np.stack(list(iterate_frames(tmp_path / name)))) == [0, 1, 2]
    folder = write_frames(tmp_path / os.fsdecode(b"\xe9t\xe9"), numbered_frames(3))
    assert frame_numbers(np.stack([frame.pixels for frame in Reading(folder)])) == [0, 1, 2]
