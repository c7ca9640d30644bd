from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2v_jax.errors import UserError
from i2v_jax.input import images, transforms
from tests.input.helpers import frame_numbers, numbered_frames, write_frames, write_gif, write_video


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_color_image_is_scaled_to_the_square(tmp_path: Path) -> None:
    image = images.read_image(save(tmp_path / "a.png", np.full((30, 50, 3), [255, 0, 51], np.uint8)), 16, "resize")
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.float32
    assert image[3, 4] == pytest.approx([1.0, -1.0, -0.6], abs=1e-5)


def test_gray_is_repeated(tmp_path: Path) -> None:
    image = images.read_image(save(tmp_path / "gray.png", np.full((8, 8), 51, np.uint8)), 8, "resize")
    assert image == pytest.approx(np.full((8, 8, 3), -0.6), abs=1e-5)


def test_an_image_is_resized_as_training_resized(tmp_path: Path) -> None:
    lines = np.zeros((32, 32, 3), np.uint8)
    lines[::4] = 255  # between the pixels that count without averaging
    file = save(tmp_path / "lines.png", lines)
    averaged, bilinear = (images.read_image(file, 8, "resize", kind)[..., 0] for kind in transforms.RESIZES)
    assert np.allclose(averaged, 2 * 64 / 255 - 1, atol=0.01)
    assert np.all(bilinear == -1)


def test_a_random_crop_is_the_middle_outside_of_training() -> None:
    assert [transforms.eval_crop(crop) for crop in ("resize", "center", "random")] == ["resize", "center", "center"]


def test_unknown_crop(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        images.read_image(save(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8)), 8, "middle")
    assert (raised.value.field, raised.value.value) == ("data.crop", "middle")


@pytest.mark.parametrize("kind", ["mp4", "gif", "folder"])
def test_clip_takes_the_frames_asked_for(tmp_path: Path, kind: str) -> None:
    frames = numbered_frames(20)
    path = {
        "mp4": lambda: write_video(tmp_path / "a.mp4", frames),
        "gif": lambda: write_gif(tmp_path / "a.gif", frames),
        "folder": lambda: write_frames(tmp_path / "a", frames, first=95),  # 95..114: numbers sort by value
    }[kind]()
    clip = images.read_clip(path, 5, 16, "center", start=3, stride=4)
    assert clip.shape == (5, 16, 16, 3)
    assert frame_numbers((clip + 1) * 127.5) == [3, 7, 11, 15, 19]


def test_clip_that_is_too_short(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", numbered_frames(5))
    write_video(tmp_path / "b.mp4", numbered_frames(5))
    for name in ("a", "b.mp4"):
        with pytest.raises(UserError) as raised:
            images.read_clip(tmp_path / name, 17, 16, "resize")
        assert (raised.value.field, raised.value.value) == ("frames", 5)


def test_real_frames_are_sorted_by_number(real_videos: Path) -> None:
    clip = images.read_clip(real_videos / "landscape" / "clip01", 17, 64, "center")
    step = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
    assert step.max() < 0.1  # neighbors look alike


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("crop", ["resize", "center"])
def test_an_image_of_one_line_is_a_start_frame(size: tuple[int, int], crop: str) -> None:
    pixels = np.full((*size[::-1], 3), 51, np.uint8)
    assert pixels.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(images.to_start_frame(pixels, 16, crop), np.full((16, 16, 3), -0.6), atol=1e-5)


RED = np.full((4, 6, 3), [255, 0, 51], np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        RED,
        RED / np.float32(127.5) - 1,
        Image.fromarray(RED),
        np.dstack([RED, np.full((4, 6), 255, np.uint8)]),
        Image.fromarray(RED).quantize(2),
    ],
)
def test_arrays_and_images_of_pil_become_pixels(image: images.AnyImage) -> None:
    assert (images.pixels_of(image) == RED).all()


@pytest.mark.parametrize(
    ("image", "corner"),
    [
        (np.full((4, 6), 51, np.uint8), [51, 51, 51]),
        (Image.new("RGBA", (4, 6), (255, 0, 0, 0)), [255, 255, 255]),  # transparent is white
        (Image.new("I;16", (4, 6), 65535), [255, 255, 255]),
        (Image.new("1", (4, 6), 1), [255, 255, 255]),
        (Image.new("CMYK", (4, 6), 0), [255, 255, 255]),
    ],
)
def test_images_of_pil_are_read_as_their_files(image: images.AnyImage, corner: list[int]) -> None:
    assert images.pixels_of(image)[0, 0].tolist() == corner


def test_an_image_of_pil_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    save(tmp_path / "turned.jpg", RED, exif=exif)
    with Image.open(tmp_path / "turned.jpg") as image:
        assert images.pixels_of(image).shape == (6, 4, 3)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 6, 3)) + 2, np.zeros((4, 6, 3), np.int32), np.zeros((2, 4, 6, 3), np.uint8), np.zeros(3)]
)
def test_arrays_that_are_no_image_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UserError) as caught:
        images.pixels_of(array)
    assert caught.value.field == "image"
