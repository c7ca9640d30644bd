import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2v_jax.errors import UserError
from i2v_jax.media import frames, images


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


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
    assert frames.keep(tmp_path / "turned.jpg", rgb) is None


@pytest.mark.parametrize("content", [None, b"", b"hello" * 50])
def test_bad_files_are_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        images.read_rgb(path)
    assert (raised.value.field, raised.value.value) == ("file", str(path))
    assert "\n" not in str(raised.value)


def test_truncated_image(tmp_path: Path) -> None:
    path = save(tmp_path / "cut.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError) as raised:
        images.read_rgb(path)
    assert (raised.value.field, raised.value.value) == ("file", str(path))


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
    assert frames.keep(tmp_path / "a.jpg", images.read_rgb(tmp_path / "a.jpg")) is not None


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


def test_the_size_is_told_by_the_header() -> None:
    content = encoded(Image.new("RGB", (300, 200)), "PNG")[:60]
    assert images.upload_size(content) == (300, 200)
    for damaged, pixels in ((content, 59_999), (b"hello", 60_000)):
        with pytest.raises(UserError) as raised:
            images.upload_size(damaged, "frame 3", pixels)
        assert (raised.value.field, raised.value.value) == ("file", "frame 3")
