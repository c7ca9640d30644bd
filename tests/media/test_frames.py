"""Frames as the bytes that are stored: lossless where they are meant to be, and with the resolution of colors."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.input.procedural import sky
from i2v_jax.media import frames, images

NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


@pytest.fixture(params=["", "in a process that reads"])
def _process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that read have a decoder of their own for PNG."""
    if request.param:
        monkeypatch.setattr(frames.multiprocessing, "parent_process", object)


def interlaced(gray: np.ndarray) -> bytes:
    """Returns a PNG in RGB that is interlaced (Adam7) of a frame [8, 8]."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = [line for top, left, down, right in passes for line in gray[top::down, left::right]]
    pixels = b"".join(b"\0" + np.repeat(line, 3).tobytes() for line in lines)  # each line begins with its filter
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 1), b"IDAT": zlib.compress(pixels), b"IEND": b""}
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.usefixtures("_process")
@pytest.mark.parametrize("chosen", ["png", "webp"])
def test_lossless_formats_give_back_every_pixel(chosen: str) -> None:
    encoded, name = frames.encode(NOISE, chosen, 50)
    np.testing.assert_array_equal(frames.decode(encoded), NOISE)
    np.testing.assert_array_equal(frames.decode(encoded, shrink=2), NOISE)
    assert name == f"lossless {chosen}"


def test_jpeg_keeps_the_resolution_of_colors() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 200  # red and blue columns
    encoded, name = frames.encode(stripes, "jpeg", 95)
    assert np.abs(frames.decode(encoded).astype(int) - stripes).max() < 12
    assert name == "jpeg 95"


def test_what_a_format_cannot_hold_is_one_line() -> None:
    with pytest.raises(UserError):
        frames.encode(np.zeros((4, 20000, 3), np.uint8), "webp", 95)


@pytest.mark.usefixtures("_process")
@pytest.mark.parametrize(
    ("image", "suffix", "kept"),
    [
        (Image.fromarray(NOISE), ".png", True),
        (Image.fromarray(NOISE[..., 0]), ".png", True),  # gray
        (Image.fromarray(NOISE).quantize(16), ".png", True),  # a palette
        (Image.fromarray(np.concatenate([NOISE, NOISE[..., :1]], -1)), ".png", False),  # transparent
        (Image.fromarray(NOISE[..., 0].astype(np.uint16) * 256), ".png", False),  # 16 bits
        (Image.fromarray(NOISE), ".jpg", True),
        (Image.fromarray(NOISE[..., 0]), ".jpg", False),  # gray
        (Image.fromarray(NOISE), ".bmp", False),
    ],
)
def test_bytes_are_kept_if_readers_see_the_frame_in_them(
    tmp_path: Path, image: Image.Image, suffix: str, kept: bool
) -> None:
    path = tmp_path / f"a{suffix}"
    image.save(path)
    found = frames.keep(path, images.read_rgb(path))
    assert (found is not None) == kept
    if found is not None:
        assert found[0] == path.read_bytes()
        assert np.abs(frames.decode(found[0]).astype(int) - images.read_rgb(path)).max() <= 2 * (suffix == ".jpg")


def test_reduced_decoding_is_close_to_full_decoding_and_scaling() -> None:
    frame = cv2.resize(sky.render("train", 1, 128, [0])[0], (256, 256))
    encoded, _ = frames.encode(frame, "jpeg", 95)
    assert frames.decode(encoded, shrink=2).shape == (128, 128, 3)
    full, reduced = (transforms.resize(frames.decode(encoded, shrink), 64, 64).astype(float) for shrink in (1, 2))
    assert np.abs(full - reduced).mean() < 1.0


@pytest.mark.usefixtures("_process")
def test_interlaced_png() -> None:
    np.testing.assert_array_equal(frames.decode(interlaced(NOISE[:8, :8, 0]))[..., 1], NOISE[:8, :8, 0])


@pytest.mark.usefixtures("_process")
@pytest.mark.parametrize(
    "encoded",
    [
        b"\xff\xd8 no picture",
        frames.encode(NOISE, "png", 0)[0][:900],  # cut
        frames.encode(NOISE, "png", 0)[0].replace(b"IDAT", b"IDAT\1", 1),
        frames.encode(NOISE, "png", 0)[0][:33],
    ],
)
def test_damaged_bytes_are_one_line(encoded: bytes) -> None:
    with pytest.raises(UserError):
        frames.decode(encoded)
