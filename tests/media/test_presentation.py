"""Files of all kinds are shown as players show them. What is expected is computed from standards, not by the code."""

import dataclasses
import fractions
import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from i2v_jax.media import color
from i2v_jax.media.presentation import Presentation, present
from i2v_jax.media.reading import Reading
from i2v_jax.media.videos import VideoFile
from tests.media.kinds import box, boxes, changed, corners, marked, write, yuv


def shown(path: Path) -> np.ndarray:
    return np.stack([frame.pixels for frame in Reading(path)])


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mov", "libx264"), (".mp4", "libvpx-vp9")])
@pytest.mark.parametrize(
    ("degrees", "mirrored", "expected"),
    [
        (0, False, [0, 1, 2, 3]),
        (90, False, [1, 3, 0, 2]),  # counterclockwise
        (180, False, [3, 2, 1, 0]),
        (270, False, [2, 0, 3, 1]),
        (0, True, [1, 0, 3, 2]),
        (90, True, [3, 1, 2, 0]),
        (180, True, [2, 3, 0, 1]),
        (270, True, [0, 2, 1, 3]),
    ],
)
def test_orientation(
    tmp_path: Path, suffix: str, codec: str, degrees: int, mirrored: bool, expected: list[int]
) -> None:
    path = write(
        tmp_path / f"a{suffix}",
        marked(),
        codec,
        set_up=lambda stream: stream.set_display_rotation(degrees, mirrored, False),
    )
    video = VideoFile(path)
    picture = next(iter(video))
    assert corners(picture) == expected
    assert picture.shape == ((48, 32, 3) if degrees % 180 else (32, 48, 3))
    words = {True: {"mirrored as tagged"}, False: {"turned upright as tagged"} if degrees else set()}
    assert video.notes == words[mirrored]


@pytest.mark.parametrize(("aspect", "width"), [((1, 1), 48), ((2, 1), 96), ((1, 2), 24), ((4, 3), 64), ((1, 999), 48)])
@pytest.mark.parametrize("degrees", [0, 90])
def test_aspect_of_pixels(tmp_path: Path, aspect: tuple[int, int], width: int, degrees: int) -> None:
    def set_up(stream: Any) -> None:
        stream.sample_aspect_ratio = fractions.Fraction(*aspect)
        stream.set_display_rotation(degrees)

    picture = shown(write(tmp_path / "a.mp4", marked(), set_up=set_up))[0]
    assert picture.shape == ((width, 32, 3) if degrees else (32, width, 3))
    assert corners(picture) == ([1, 3, 0, 2] if degrees else [0, 1, 2, 3])


_SMALL, _HD = (32, 48), (720, 64)
_COLORS = np.array([[(0.8, 0.1, 0.1), (0.1, 0.7, 0.2)], [(0.2, 0.2, 0.9), (0.5, 0.5, 0.5)]])


def _tagged(size: tuple[int, int], matrix: int, tag: int, *, full: bool = False, bits: int = 8) -> av.VideoFrame:
    rgb = _COLORS.repeat(size[0] // 2, axis=0).repeat(size[1] // 2, axis=1)
    frame = yuv(rgb, matrix, full=full, bits=bits)
    frame.colorspace, frame.color_range = tag, 2 if full else 1
    return frame


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("size", "matrix", "tag"),
    [
        *[(_SMALL, 6, 2), (_SMALL, 6, 6), (_SMALL, 6, 5), (_SMALL, 1, 1), (_SMALL, 9, 9), (_SMALL, 9, 10)],
        *[(_HD, 1, 2), (_HD, 1, 1), (_HD, 6, 6), ((32, 1280), 1, 2), ((718, 64), 6, 2)],
    ],
)
def test_matrix_and_range(size: tuple[int, int], matrix: int, tag: int, full: bool, bits: int) -> None:
    """Tags win; 2 means untagged: BT.601, from 720 lines on BT.709."""
    frame = _tagged(size, matrix, tag, full=full, bits=bits)
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        presentation = Presentation.of(container.add_stream("libx264"), frame)
    picture = present(frame, presentation)
    found = picture[size[0] // 4 :: size[0] // 2, size[1] // 4 :: size[1] // 2]
    assert np.abs(found - 255 * _COLORS).max() <= 3  # of 8-bit luma and of libswscale


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range_of_files(tmp_path: Path, suffix: str, full: bool) -> None:
    def set_up(stream: Any) -> None:
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 2 if full else 1

    frames = [_tagged(_SMALL, 1, 1, full=full) for _ in range(2)]
    picture = shown(write(tmp_path / f"a{suffix}", frames, pix_fmt="yuv444p", set_up=set_up, crf="1"))[0]
    assert np.abs(picture[8::16, 12::24] - 255 * _COLORS).max() <= 5


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "least"),
    [
        *[
            ("ffv1", "gray", 1),
            ("ffv1", "bgr0", 1),
            ("rawvideo", "bgr24", 1),
            ("qtrle", "rgb24", 1),
            ("png", "rgb24", 1),
        ],
        *[("ffv1", "yuv444p", 3), ("ffv1", "gray16le", 1), ("huffyuv", "rgb24", 1), ("mjpeg", "yuvj444p", 5)],
    ],
)
def test_untagged_files_keep_their_range(tmp_path: Path, codec: str, pix_fmt: str, least: int) -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(2, 0).repeat(2, 1)
    source = "gray" if pix_fmt == "gray" else "rgb24"
    frames = [gray if source == "gray" else np.stack([gray] * 3, -1)] * 2
    if pix_fmt == "gray16le":
        frames, source = [gray.astype(np.uint16) * 257] * 2, pix_fmt
    suffix = ".mov" if codec in ("qtrle", "png") else ".avi" if codec in ("rawvideo", "huffyuv", "mjpeg") else ".mkv"
    picture = shown(write(tmp_path / f"a{suffix}", frames, codec, pix_fmt, source=source))[0]
    assert np.abs(picture.astype(int) - gray[..., None]).max() <= least


def test_a_matrix_of_rgb_on_other_pixels_is_no_tag() -> None:
    frame = _tagged(_SMALL, 6, 0)
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        presentation = Presentation.of(container.add_stream("libx264"), frame)
    assert presentation.matrix == 6


_GRAY_CARD, _WHITE, _RED = 0.18, 1.0, np.array([0.75, 0.075, 0.02])  # light, relative to white; red in BT.2020


def _hlg(light: np.ndarray) -> np.ndarray:
    scene = 0.265 * light
    logarithm = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), logarithm)


def _pq(light: np.ndarray) -> np.ndarray:
    power = (0.0203 * light) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@pytest.mark.parametrize(("transfer", "encode"), [(18, _hlg), (16, _pq)])
def test_high_dynamic_range(transfer: int, encode: Any) -> None:
    light = np.ones((32, 96, 3))
    light[:, :24], light[:, 48:72], light[:, 72:] = _GRAY_CARD, _RED, 3.0
    frame = yuv(encode(light), 9, bits=10)
    frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = 9, 1, transfer, 9
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        presentation = Presentation.of(container.add_stream("libx264"), frame)
    card, white, red, bright = present(frame, presentation)[16, 12::24].astype(int)
    assert presentation.notes == ("HDR tone-mapped",)
    assert np.abs(card - 118).max() <= 2  # 18 % in sRGB
    assert white.min() >= 244
    assert bright.min() > white.max()  # highlights keep their order
    assert red[0] >= 240 and red[1:].max() <= 12


def test_wide_gamut() -> None:
    """The red of sRGB is 0.627, 0.069, 0.016 in linear BT.2020 (BT.2087), and white and black stay."""
    signal = np.zeros((8, 3, 3))
    linear = np.array([0.627404, 0.069097, 0.016391])
    signal[:, 0], signal[:, 1] = 1.055 * linear ** (1 / 2.4) - 0.055, 1
    pixels = color.to_srgb(np.rint(65535 * signal).astype(np.uint16), "sdr", "bt2020")
    assert np.abs(pixels[0].astype(int) - [[255, 0, 0], [255, 255, 255], [0, 0, 0]]).max() <= 3


def _disc(frames: int = 3) -> np.ndarray:
    """RGBA: opaque green on magenta that is transparent."""
    pixels = np.zeros((frames, 32, 48, 4), np.uint8)
    pixels[..., :3] = (255, 0, 255)
    pixels[:, 8:24, 12:36] = (30, 160, 60, 255)
    return pixels


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        *[("a.mov", "png", "rgba"), ("a.mov", "qtrle", "argb"), ("a.webm", "libvpx-vp9", "yuva420p")],
        *[("a.mov", "prores_ks", "yuva444p10le"), ("a.mkv", "ffv1", "yuva420p"), ("a.webm", "libvpx", "yuva420p")],
    ],
)
def test_transparency_of_videos_shows_white(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    options = {"auto-alt-ref": "0"} if codec == "libvpx" else {}
    video = VideoFile(write(tmp_path / name, _disc(), codec, pix_fmt, source="rgba", **options))
    pictures = np.stack(list(video)).astype(int)
    assert pictures.shape == (3, 32, 48, 3)
    assert np.abs(pictures[:, 2, 2] - 255).max() <= 3
    assert np.abs(pictures[:, 16, 24] - [30, 160, 60]).max() <= 12
    assert video.notes == {"with transparency, placed on white"}


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif", ".tif", ".avif"])
def test_transparency_of_pages_shows_white(tmp_path: Path, suffix: str) -> None:
    pages = [Image.fromarray(np.roll(page, 4 * index, axis=1)) for index, page in enumerate(_disc())]
    options = {"lossless": True} if suffix == ".webp" else {"disposal": 2} if suffix == ".gif" else {}
    pages[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pages[1:], duration=40, **options)
    pictures = shown(tmp_path / f"a{suffix}").astype(int)
    assert pictures.shape == (3, 32, 48, 3)
    assert np.abs(pictures[:, 2, 2] - 255).max() <= 3
    assert np.abs(pictures[:, 16, 24] - [30, 160, 60]).max() <= 12


def _with_cover(moov: bytes, first: bool) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (30, 160, 90)).save(picture, "JPEG")
    art = box(b"covr", box(b"data", (13).to_bytes(4, "big") + bytes(4) + picture.getvalue()))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", art)))
    parts = {kind: moov[begin:end] for kind, begin, end in boxes(moov) if kind != b"udta"}
    rest = [part for kind, part in parts.items() if kind != b"mvhd"]
    return b"".join([parts[b"mvhd"], *([tags, *rest] if first else [*rest, tags])])


@pytest.mark.parametrize("first", [False, True])
def test_cover_art_is_not_the_video(tmp_path: Path, first: bool) -> None:
    path = write(tmp_path / "a.mp4", marked())
    path.write_bytes(changed(path.read_bytes(), (b"moov",), lambda moov: _with_cover(moov, first)))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 2
    assert shown(path).shape == (3, 32, 48, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_default_stream_is_the_video(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, width in zip(streams, (16, 48), strict=True):
            stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
            stream.disposition = av.stream.Disposition.default if width == 48 else av.stream.Disposition(0)
        for frame in marked():
            for stream, width in zip(streams, (16, 48), strict=True):
                picture = np.ascontiguousarray(frame[:, :width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    assert shown(path).shape == (3, 32, 48, 3)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_tags_in_other_encodings(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w", metadata_encoding="latin-1") as container:
        container.metadata["title"] = "Flug über Köln, été"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for frame in marked():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert corners(shown(path)[0]) == [0, 1, 2, 3]


def test_edit_lists(tmp_path: Path) -> None:
    """A player begins where the edit list says, in the middle of a group of pictures."""
    frames = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None, None] * 10, 32, 1).repeat(48, 2).repeat(3, 3)
    path = write(tmp_path / "a.mp4", frames, bf="0", g="10", crf="5")
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
    assert base is not None
    skipped, kept = 7, 9

    def edit(track: bytes) -> bytes:
        entry = (kept * 40).to_bytes(4, "big") + int(skipped / 25 / base).to_bytes(4, "big") + b"\0\1\0\0"
        edits = box(b"edts", box(b"elst", bytes(4) + (1).to_bytes(4, "big") + entry))
        parts = {kind: track[begin:end] for kind, begin, end in boxes(track)}
        return parts[b"tkhd"] + edits + parts[b"mdia"]

    path.write_bytes(changed(path.read_bytes(), (b"moov", b"trak"), edit))
    found = shown(path).mean((1, 2, 3))
    assert np.rint(found / 10).astype(int).tolist() == list(range(skipped, skipped + kept))


def test_a_presentation_is_kept_in_json() -> None:
    whole = Presentation(transposed=True, aspect=1.25, matrix=9, transfer="hlg", primaries="bt2020", alpha=True)
    assert Presentation(**json.loads(json.dumps(dataclasses.asdict(whole)))) == whole
