import io
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


def test_sixteen_bit_gray_is_scaled(tmp_path: Path) -> None:
    values = np.full((8, 8), 51 * 257, np.uint16)
    assert np.all(images.read_rgb(save(tmp_path / "deep.png", values)) == 51)


def test_transparency_shows_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 4), np.uint8)
    pixels[:, :4, 3] = 255
    rgb = images.read_rgb(save(tmp_path / "alpha.png", pixels))
    assert np.all(rgb[:, :4] == 0)
    assert np.all(rgb[:, 4:] == 255)


def test_palette_is_expanded(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 250, 10, 20])
    image.save(tmp_path / "palette.png")
    assert images.read_rgb(tmp_path / "palette.png")[0, 0].tolist() == [250, 10, 20]


def test_orientation_of_the_camera_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise to see it upright
    rgb = images.read_rgb(save(tmp_path / "turned.jpg", pixels, exif=exif, quality=95))
    assert rgb.shape == (16, 8, 3)
    assert rgb[:6].min() > 240
    assert rgb[10:].max() < 15
    assert not images.is_plain_jpeg(tmp_path / "turned.jpg")


@pytest.mark.parametrize("content", [None, b"", b"hello" * 50])
def test_bad_files_are_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        images.read_image(path, 8, "resize")
    assert (raised.value.field, raised.value.value) == ("file", str(path))
    assert "\n" not in str(raised.value)


def test_truncated_image(tmp_path: Path) -> None:
    path = save(tmp_path / "cut.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError) as raised:
        images.read_image(path, 8, "resize")
    assert (raised.value.field, raised.value.value) == ("file", str(path))


def test_a_random_crop_is_the_middle_outside_of_training() -> None:
    assert [transforms.eval_crop(crop) for crop in ("resize", "center", "random")] == ["resize", "center", "center"]


def test_unknown_crop(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        images.read_image(save(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8)), 8, "middle")
    assert (raised.value.field, raised.value.value) == ("data.crop", "middle")


def test_reduced_decoding_is_close_to_full_decoding_and_scaling() -> None:
    import cv2

    from i2v_jax.input import transforms
    from i2v_jax.input.procedural import sky

    frame = cv2.resize(sky.render("train", 1, 128, [0])[0], (256, 256))
    encoded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    full = transforms.resize(images.decode_frame(encoded), 64, 64).astype(float)
    reduced = transforms.resize(images.decode_frame(encoded, shrink=2), 64, 64).astype(float)
    assert np.abs(full - reduced).mean() < 1.0


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


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_whatever_a_decoder_raises_is_a_damaged_image() -> None:
    """Changes each byte of a small TIFF in turn: for one of them Pillow raises a TypeError."""
    content = encoded(Image.fromarray(np.arange(108, dtype=np.uint8).reshape(6, 6, 3)), "TIFF")
    refused = []
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        try:
            assert images.decode_upload(bytes(damaged)).shape[2] == 3
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert all(message.startswith("the image: ") and "\n" not in message for message in refused)


@pytest.mark.filterwarnings("ignore")
def test_a_picture_with_damaged_exif_stays_as_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    image = Image.fromarray(np.full((8, 16, 3), 51, np.uint8))
    assert images.decode_upload(encoded(image, "PNG", exif=exif.tobytes())).shape == (16, 8, 3)
    for length in range(1, len(exif.tobytes())):
        cut = images.decode_upload(encoded(image, "PNG", exif=exif.tobytes()[:length]))
        assert cut.min() == cut.max() == 51
    assert images.decode_upload(encoded(image, "PNG", exif=exif.tobytes()[:10])).shape == (8, 16, 3)
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif.tobytes()[6:10])
    assert images.is_plain_jpeg(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("image", "form", "expected"),
    [
        (Image.new("CMYK", (5, 4), (0, 255, 255, 0)), "JPEG", [255, 0, 0]),
        (Image.new("CMYK", (5, 4), (0, 0, 0, 255)), "TIFF", [0, 0, 0]),
        (Image.new("1", (5, 4), 1), "PNG", [255, 255, 255]),
        (Image.new("LA", (5, 4), (51, 255)), "PNG", [51, 51, 51]),
        (Image.new("LA", (5, 4), (51, 0)), "PNG", [255, 255, 255]),  # transparent
        (Image.new("F", (5, 4), 51.4), "TIFF", [51, 51, 51]),
        (Image.new("F", (5, 4), float("nan")), "TIFF", [0, 0, 0]),
        (Image.fromarray(np.full((4, 5), 51 * 257, np.uint16)), "TIFF", [51, 51, 51]),
        (Image.fromarray(np.full((4, 5), 51 * 257, np.uint16)), "PNG", [51, 51, 51]),
    ],
)  # fmt: skip
def test_modes(image: Image.Image, form: str, expected: list[int]) -> None:
    pixels = images.decode_upload(encoded(image, form))
    assert pixels.shape == (4, 5, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 3  # of a JPEG


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("crop", ["resize", "center"])
def test_an_image_of_one_line_is_a_start_frame(size: tuple[int, int], crop: str) -> None:
    pixels = images.decode_upload(encoded(Image.new("RGB", size, (51, 51, 51)), "PNG"))
    assert pixels.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(images.to_start_frame(pixels, 16, crop), np.full((16, 16, 3), -0.6), atol=1e-5)


def test_the_size_is_told_by_the_header() -> None:
    content = encoded(Image.new("RGB", (300, 200)), "PNG")[:60]
    assert images.upload_size(content) == (300, 200)
    for damaged, pixels in ((content, 59_999), (b"hello", 60_000)):
        with pytest.raises(UserError) as raised:
            images.upload_size(damaged, "frame 3", pixels)
        assert (raised.value.field, raised.value.value) == ("file", "frame 3")


def test_names_do_not_collide() -> None:
    assert images.unique_names(["x/a.jpg", "y/a.png", "b.png", "z/a.gif"]) == ["a", "a~2", "b", "a~3"]
    assert images.unique_names(["a.png", "a~3.png", "x/a.png", "y/a.png"]) == ["a", "a~3", "a~2", "a~4"]
