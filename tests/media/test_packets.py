"""Frames decoded from groups of packets are those that decoding the whole file gives, whatever the codec does."""

from pathlib import Path

import av
import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.media import packets, videos
from tests.input.helpers import numbered_frames

# suffix, codec, options
STREAMS = {
    "closed groups": (".mp4", "libx264", {"g": "8", "bf": "2"}),
    "open groups": (".mp4", "libx264", {"g": "8", "x264-params": "open-gop=1:bframes=3"}),
    "no true key frames": (".mkv", "libx264", {"g": "8", "x264-params": "intra-refresh=1"}),
    "HEVC": (".mp4", "libx265", {"g": "8", "x265-params": "open-gop=1:log-level=none"}),
    "hidden frames": (".webm", "libvpx", {"g": "8", "b": "1M", "auto-alt-ref": "1", "lag-in-frames": "10"}),
    "VP9": (".webm", "libvpx-vp9", {"g": "8", "cpu-used": "8"}),
    "AVI": (".avi", "mpeg4", {"g": "8", "bf": "2"}),
    "one long group": (".mp4", "libx264", {"g": "1000", "bf": "0"}),
}


def write(path: Path, codec: str, options: dict[str, str], count: int = 30) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 5, (64, 64 + count, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for i, frame in enumerate(numbered_frames(count, 64, 64)):
            pixels = np.clip(frame + noise[:, i : i + 64], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return np.stack(list(videos.iterate_frames(path)))


def decode(table: packets.Table, groups: list[list[bytes]], indices: range | list[int]) -> np.ndarray:
    needed = table.groups(indices)
    return np.stack(list(table.decode(needed.start, groups[needed.start : needed.stop], indices)))


@pytest.mark.parametrize("kind", STREAMS)
def test_any_frames_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    suffix, codec, options = STREAMS[kind]
    path = tmp_path / f"a{suffix}"
    shown = write(path, codec, options)
    if kind == "one long group":
        monkeypatch.setattr(packets, "_GROUP_BYTES", path.stat().st_size // 4)
    table = packets.Table.from_json(packets.scan(videos.VideoFile(path)).to_json())
    groups = list(packets.read_groups(path))
    assert len(groups) >= 3
    for indices in (range(5), range(6, 10), range(11, 28), range(2, 30, 9), [29], range(14, 15)):
        np.testing.assert_array_equal(decode(table, groups, indices), shown[list(indices)])
    if kind in ("closed groups", "open groups"):  # no more is read than needed
        assert len(table.groups(range(24, 27))) <= 2 < len(groups)


@pytest.mark.parametrize("frames", [range(13, 30), range(0, 30, 4), range(10, 24, 3)])
def test_a_part_of_a_video_keeps_only_its_groups(tmp_path: Path, frames: range) -> None:
    path = tmp_path / "a.mp4"
    shown = write(path, *STREAMS["open groups"][1:])
    whole = packets.scan(videos.VideoFile(path))
    table, kept = whole.part(frames)
    groups = list(packets.read_groups(path))[kept.start : kept.stop]
    np.testing.assert_array_equal(decode(table, groups, range(len(frames))), shown[list(frames)])
    np.testing.assert_array_equal(decode(table, groups, [len(frames) - 1]), shown[[frames[-1]]])
    assert len(kept) < len(whole.ends) or frames.start == 0


@pytest.mark.parametrize("duration", [0, 1])
def test_equal_time_stamps_lose_no_frame(tmp_path: Path, duration: int) -> None:
    """All frames but the first have one time stamp, or follow each other by the least step."""
    path = tmp_path / "a.mkv"
    shown = write(tmp_path / "b.mkv", "libx264", {"g": "8", "bf": "0"})
    with av.open(str(tmp_path / "b.mkv")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = min(number, 1) + duration * number
                packet.stream = stream
                target.mux(packet)
    video = videos.VideoFile(path)
    table = packets.scan(video)
    assert len(table.frames) == 30
    assert ("with equal time stamps, whose frames are all kept" in video.notes) == (duration == 0)
    np.testing.assert_array_equal(decode(table, list(packets.read_groups(path)), range(8, 25)), shown[8:25])


def test_damage_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", *STREAMS["closed groups"][1:])
    table = packets.scan(videos.VideoFile(tmp_path / "a.mp4"))
    groups = list(packets.read_groups(tmp_path / "a.mp4"))
    with pytest.raises(UserError) as raised:
        list(table.decode(0, groups[:1], range(6, 12)))
    assert raised.value.field == "frames"
    with pytest.raises(UserError):
        list(table.decode(0, [[b"no packet" * 9]], range(4)))
