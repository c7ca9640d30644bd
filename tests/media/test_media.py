"""Files are read back and compared with what was written; pictures are compared pixel by pixel."""

import io
import pathlib

import av
import numpy as np
import pytest
from PIL import Image

from i2v_jax import media
from i2v_jax.pixels import to_uint8


@pytest.fixture(scope="module")
def drifting() -> np.ndarray:
    """Returns a smooth pattern that moves right, [12, 32, 48, 3] in [-1, 1]."""
    y, x, t = np.meshgrid(np.arange(32), np.arange(48), np.arange(12), indexing="ij")
    wave = np.sin((x - 2 * t) / 7) * np.cos(y / 9)
    video = np.stack([wave, 0.5 * wave, -wave], axis=-1)
    return np.moveaxis(video, 2, 0).astype(np.float32)


def _read(path: pathlib.Path) -> tuple[np.ndarray, float, list[int]]:
    """Returns the frames of a video, its rate, and its tags: matrix, range, primaries and transfer function."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        assert stream.average_rate is not None
        assert {frame.format.name for frame in decoded} == {"yuv420p"}
        tags = [decoded[0].colorspace, decoded[0].color_range, decoded[0].color_primaries, decoded[0].color_trc]
        return np.stack([frame.to_ndarray(format="rgb24") for frame in decoded]), float(stream.average_rate), tags


@pytest.mark.parametrize("codec", media.CODECS)
@pytest.mark.parametrize("fps", [8, 12.5])
def test_mp4_round_trip(tmp_path: pathlib.Path, drifting: np.ndarray, codec: str, fps: float) -> None:
    media.write_mp4(tmp_path / "clip.mp4", drifting, fps, codec=codec)
    frames, rate, tags = _read(tmp_path / "clip.mp4")
    assert frames.shape == drifting.shape
    assert rate == pytest.approx(fps)
    assert tags == [1, 1, 1, 1]  # BT.709, limited range
    difference = frames.astype(float) - to_uint8(drifting)
    assert 10 * np.log10(255**2 / np.mean(difference**2)) > 32  # dB; a wrong channel order or range gives below 15


@pytest.mark.parametrize("codec", media.CODECS)
@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (30, 60, 200)])
def test_mp4_keeps_colors(codec: str, color: tuple[int, int, int]) -> None:
    """With the matrix of BT.601, pure green would be 17 off."""
    content = media.mp4_bytes(np.full((3, 32, 32, 3), color, np.uint8), codec=codec)
    with av.open(io.BytesIO(content)) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - color).max() <= 5


@pytest.mark.parametrize("codec", media.CODECS)
@pytest.mark.parametrize(
    ("frames", "height", "width"), [(1, 31, 33), (1, 1, 1), (3, 8, 9), (9, 15, 200), (1000, 16, 16)]
)
def test_mp4_of_any_size_and_length(tmp_path: pathlib.Path, codec: str, frames: int, height: int, width: int) -> None:
    path = tmp_path / "été, 雲 & clouds.mp4"
    video = np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, height, width, 3))
    media.write_mp4(path, video, codec=codec)
    decoded = _read(path)[0]
    least = 32 if codec == "av1" else 2
    assert decoded.shape == (frames, max(least, height + height % 2), max(least, width + width % 2), 3)


def test_mp4_scale_repeats_pixels(tmp_path: pathlib.Path, drifting: np.ndarray) -> None:
    media.write_mp4(tmp_path / "large.mp4", drifting, scale=4)
    frames = _read(tmp_path / "large.mp4")[0]
    assert frames.shape == (12, 128, 192, 3)
    assert np.abs(frames[:, 2::4, 2::4].astype(float) - to_uint8(drifting)).mean() < 4


def test_gif_round_trip(tmp_path: pathlib.Path, drifting: np.ndarray) -> None:
    media.write_gif(tmp_path / "clip.gif", drifting, fps=10, scale=2)
    with Image.open(tmp_path / "clip.gif") as image:
        assert (image.n_frames, image.size, image.info["duration"], image.info["loop"]) == (12, (96, 64), 100, 0)
        image.seek(11)
        last = np.asarray(image.convert("RGB"), float)
    assert np.abs(last - media.enlarge(drifting[11], 2)).mean() < 6


@pytest.mark.parametrize(
    ("frames", "fps", "total"), [(1, 8, 120), (16, 8, 2000), (30, 25, 1200), (7, 1, 7000), (50, 90, 1000)]
)
def test_gif_of_still_content_keeps_its_frames(frames: int, fps: float, total: int) -> None:
    """No frame is shorter than 20 ms: browsers show shorter ones for 100 ms."""
    content = media.gif_bytes(np.full((frames, 5, 7, 3), 90, np.uint8), fps)
    with Image.open(io.BytesIO(content)) as image:
        durations = []
        for index in range(frames):
            image.seek(index)
            durations.append(image.info["duration"])
            assert np.abs(np.asarray(image.convert("RGB"), int) - 90).max() <= 1
        assert image.n_frames == frames
    assert sum(durations) == pytest.approx(total, abs=10)
    assert min(durations) >= 20


def test_png_round_trip_is_exact(tmp_path: pathlib.Path, drifting: np.ndarray) -> None:
    media.write_png(tmp_path / "new" / "folder" / "image.png", drifting[3], scale=3)
    with Image.open(tmp_path / "new" / "folder" / "image.png") as image:
        np.testing.assert_array_equal(np.asarray(image), to_uint8(drifting[3]).repeat(3, 0).repeat(3, 1))


def test_small_frames_are_enlarged_to_about_256_pixels() -> None:
    assert [media.usual_scale(size) for size in (16, 96, 256, 600)] == [16, 3, 1, 1]


def test_the_start_frame_comes_before_the_video(drifting: np.ndarray) -> None:
    np.testing.assert_array_equal(media.with_start(drifting[0], drifting[1:]), drifting)


def test_grid_places_clips_row_by_row() -> None:
    videos = np.stack([np.full((2, 3, 4, 3), value, np.uint8) for value in (10, 20, 30)])
    canvas = media.grid(videos, columns=2, pad=1)
    assert canvas.shape == (2, 1 + 2 * (3 + 1), 1 + 2 * (4 + 1), 3)
    picture = canvas[1, ..., 0]
    assert (picture[1:4, 1:5] == 10).all()
    assert (picture[1:4, 6:10] == 20).all()
    assert (picture[5:8, 1:5] == 30).all()
    assert (picture[5:8, 6:10] == 255).all()
    assert (picture[4] == 255).all()


def test_strip_takes_first_and_last_frame() -> None:
    video = np.arange(16, dtype=np.uint8)[:, None, None, None].repeat(3, -1)
    picture = media.strip(video, count=4, pad=0)
    assert picture.shape == (1, 4, 3)
    assert picture[0, :, 0].tolist() == [0, 5, 10, 15]
    assert media.strip(video[:2], count=8, pad=0).shape == (1, 2, 3)


def test_stills_are_eight_frames_at_half_the_scale(drifting: np.ndarray) -> None:
    for scale, half in ((4, 2), (1, 1)):
        picture = media.stills(lambda scale: media.enlarge(drifting, scale), scale)
        assert picture.shape == (half * 32 + 4, 8 * (half * 48 + 2) + 2, 3)


def test_labels_and_rows(drifting: np.ndarray) -> None:
    labeled = media.label(drifting, "truth")
    band = labeled.shape[1] - 32
    assert 8 < band < 30
    np.testing.assert_array_equal(labeled[:, band:, :48], to_uint8(drifting))
    assert (labeled[:, :band] < 128).any()

    rows = media.stack_rows([("truth", drifting), ("a longer text than the clip is wide", drifting[:4])])
    assert rows.shape[0] == 12
    np.testing.assert_array_equal(rows[11, -32:, :48], to_uint8(drifting[3]))
    columns = media.side_by_side([("a", drifting), ("", drifting)], pad=5)
    assert columns.shape == (12, 32 + band, 48 + 5 + 48, 3)
    np.testing.assert_array_equal(columns[:, band:, -48:], to_uint8(drifting))  # both begin below the text


def test_the_height_of_a_label_does_not_depend_on_its_letters(drifting: np.ndarray) -> None:
    texts = ["xxx", "gjp", "Été", "雲", "two\nlines", "x" * 200]
    drawn = [media.label(drifting, text) for text in texts]
    assert len({video.shape[1] for video in drawn}) == 1
    assert drawn[-1].shape[2] > 1000 > drawn[0].shape[2]
    first, second = (media.label(drifting, text)[0] for text in ("é", "ü"))
    assert first.shape != second.shape or (first != second).any()  # both are in the font


@pytest.mark.parametrize(("degrees", "row", "column"), [(0, 32, 51), (90, 13, 32), (180, 32, 13), (270, 51, 32)])
def test_arrow_points_where_it_should(degrees: float, row: int, column: int) -> None:
    black = np.zeros((2, 64, 64, 3), np.uint8)
    drawn = media.arrow(black, degrees)[1].astype(float).sum(axis=-1)
    assert drawn[row, column] > 100
    # The head is wider than the tail: more ink on the side that the arrow points to.
    y, x = np.mgrid[:64, :64] - 31.5
    along = x * np.cos(np.radians(degrees)) - y * np.sin(np.radians(degrees))
    assert drawn[along > 0].sum() > 1.3 * drawn[along < 0].sum()


def test_an_impulse_is_an_arrow_of_one_length_and_has_no_target() -> None:
    """Impulses of half a pixel and of one pixel are drawn alike; an arrow of half a pixel would be invisible."""
    video = np.zeros((3, 80, 80, 3), np.uint8)
    half, whole = (media.poked(video, 4, (4, 9), (length, 0), impulse=True) for length in (0.5, 1.0))
    assert np.array_equal(half, whole)
    columns = np.nonzero(whole[0, ..., 0].max(axis=0) > 100)[0]
    assert (columns.min(), columns.max()) == pytest.approx((18, 18 + 0.15 * 80), abs=1)
    assert not whole[1:].any()
    assert media.poked(video, 4, (4, 9), (3, 0))[1:].any()  # the ring of a displacement
