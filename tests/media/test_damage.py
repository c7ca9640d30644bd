"""Damage inside videos: no damaged frame is read silently, and the intact frames are known."""

import contextlib
import fractions
import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from i2v_jax.media import videos
from i2v_jax.media.damage import DamagedVideo
from tests.media.kinds import damage, packet_places, write

_DAMAGED = 25  # the packet that is damaged, of 60 with a key frame every 20
_NOISE = np.random.default_rng(0).integers(-12, 12, (60, 96, 128, 3))


def clip() -> np.ndarray:
    """Returns a textured clip: its packets have bytes to damage."""
    y, x = np.mgrid[:96, :128]
    pictures = [np.stack([60 + x, 90 + y, 40 + (x + 3 * t) % 90], -1) for t in range(60)]
    return (np.stack(pictures) + _NOISE).clip(0, 255).astype(np.uint8)


def scramble(begin: int, count: int) -> Callable[[bytes], bytes]:
    """Returns a change of `count` bytes from `begin` on to others."""
    return lambda data: data[:begin] + np.random.default_rng(1).bytes(count) + data[begin + count :]


def zeros(data: bytes) -> bytes:
    """Returns as many zeros."""
    return bytes(len(data))


KINDS = {
    "h264": ("a.mp4", "libx264", {"preset": "fast", "g": "20", "bf": "0", "sc_threshold": "0"}),
    "h264 with B-frames": ("a.mkv", "libx264", {"preset": "fast", "g": "20", "sc_threshold": "0"}),
    "h264, CAVLC": ("a.mp4", "libx264", {"preset": "ultrafast", "g": "20", "sc_threshold": "0"}),
    "hevc": ("a.mp4", "libx265", {"x265-params": "log-level=error:keyint=20"}),
    "mpeg4": ("a.avi", "mpeg4", {"g": "20"}),
    "mpeg2": ("a.mkv", "mpeg2video", {"g": "20"}),
    "mjpeg": ("a.avi", "mjpeg", {}),
    "av1": ("a.mp4", "libsvtav1", {"g": "20", "preset": "10"}),
    "vp9": ("a.webm", "libvpx-vp9", {"g": "20", "b": "1M", "cpu-used": "8", "lag-in-frames": "0"}),
    "prores": ("a.mov", "prores_ks", {}),
}
_FORMATS = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a function that returns the undamaged file of a kind."""
    folder = tmp_path_factory.mktemp("damage")

    def make(kind: str) -> Path:
        name, codec, options = KINDS[kind]
        path = folder / kind.replace(" ", "_") / name
        if not path.exists():
            path.parent.mkdir()
            write(path, clip(), codec, _FORMATS.get(codec, "yuv420p"), **options)
        return path

    return make


def _copy(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["first bytes", "middle", "zeros"])
def test_no_damaged_frame_is_read(tmp_path: Path, encoded: Callable[[str], Path], kind: str, where: str) -> None:
    whole = np.stack(list(videos.iterate_frames(encoded(kind))))
    path = _copy(encoded(kind), tmp_path)
    size = packet_places(path)[_DAMAGED][1]
    changes = {"first bytes": scramble(0, 12), "middle": scramble(size // 3, size // 2), "zeros": zeros}
    damage(path, _DAMAGED, changes[where])
    with contextlib.suppress(DamagedVideo):
        np.testing.assert_array_equal(np.stack(list(videos.iterate_frames(path))), whole)
    ranges, _ = videos.intact_ranges(path)
    assert sum(map(len, ranges)) >= 35
    for part in ranges:
        read = list(videos.iterate_frames(path, within=part))
        assert len(read) == len(part)
        # Frames may be missing before the part, so its place in the undamaged video is searched.
        first = next(i for i in range(61 - len(part)) if np.array_equal(whole[i], read[0]))
        np.testing.assert_array_equal(np.stack(read), whole[first : first + len(part)])


@pytest.mark.parametrize("kind", KINDS)
def test_whole_videos_are_not_called_damaged(encoded: Callable[[str], Path], kind: str) -> None:
    ranges, _ = videos.intact_ranges(encoded(kind))
    assert ranges == [range(60)]


def test_damaged_notes_beside_pictures_do_not_matter(tmp_path: Path) -> None:
    """Cameras write EXIF data into each frame of their motion JPEG, which is often cut off."""
    picture = io.BytesIO()
    Image.fromarray(clip()[0]).save(picture, "JPEG")
    exif = b"\xff\xe1\0\x16Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(4)
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuvj420p"
        for number in range(5):
            packet = av.Packet(picture.getvalue()[:2] + exif + picture.getvalue()[2:])
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, fractions.Fraction(1, 25)
            container.mux(packet)
    assert len(list(videos.iterate_frames(tmp_path / "a.avi"))) == 5


def test_the_place_of_damage_is_told(tmp_path: Path, encoded: Callable[[str], Path]) -> None:
    path = damage(_copy(encoded("h264"), tmp_path), _DAMAGED, zeros)
    with pytest.raises(DamagedVideo) as raised:
        list(videos.iterate_frames(path))
    assert (raised.value.field, raised.value.value) == ("file", str(path))
    ranges, words = videos.intact_ranges(path)
    assert ranges == [range(25), range(39, 59)]  # one packet gave no frame
    assert all(told in words for told in ("25 to 38", "1.04 s", "of 59"))


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_file_that_ends_in_the_middle_keeps_its_beginning(
    tmp_path: Path, encoded: Callable[[str], Path], share: float
) -> None:
    whole = encoded("h264 with B-frames")
    path = tmp_path / whole.name
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    truth = list(videos.iterate_frames(whole))
    try:
        frames = list(videos.iterate_frames(path))
    except DamagedVideo:
        (part,), _ = videos.intact_ranges(path)
        frames = list(videos.iterate_frames(path, within=part))
    assert len(frames) > 60 * share * 0.5
    np.testing.assert_array_equal(np.stack(frames), np.stack(truth[: len(frames)]))


def test_threads_do_not_hear_of_each_other(tmp_path: Path, encoded: Callable[[str], Path]) -> None:
    import concurrent.futures

    whole = encoded("h264")
    broken = damage(_copy(whole, tmp_path), _DAMAGED, zeros)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: len(videos.intact_ranges(path)[0]), [whole, broken] * 6))
    assert found == [1, 2] * 6
