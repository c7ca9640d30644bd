from pathlib import Path

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.media import packets, videos
from tests.input.helpers import frame_numbers, numbered_frames, write_video


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".webm"])
def test_every_container_is_decoded_in_order(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", numbered_frames(20))
    assert frame_numbers(np.stack(list(videos.iterate_frames(path)))) == list(range(20))


@pytest.mark.parametrize("within", [None, range(3, 15)])
def test_a_file_is_read_again_from_its_beginning(tmp_path: Path, within: range | None) -> None:
    video = videos.VideoFile(write_video(tmp_path / "a.mp4", numbered_frames(20)), within=within)
    for _ in range(2):
        assert frame_numbers(np.stack(list(video))) == list(within or range(20))
        assert not video.notes


def test_odd_sizes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.avi", numbered_frames(4, height=47, width=61))
    assert next(videos.iterate_frames(path)).shape == (47, 61, 3)


@pytest.mark.parametrize("content", [None, b"", b"no video" * 99])
def test_bad_files_are_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    for read in (list, packets.scan):
        with pytest.raises(UserError) as raised:
            read(videos.VideoFile(path))
        assert (raised.value.field, raised.value.value) == ("file", str(path))
        assert "\n" not in str(raised.value)


def test_truncated_mp4(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.mp4", numbered_frames(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError) as raised:
        list(videos.iterate_frames(path))
    assert raised.value.value == str(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(UserError) as raised:
        list(videos.iterate_frames(path))
    assert raised.value.value == str(path)
