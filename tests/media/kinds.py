"""Small video files of all kinds, and changes to their bytes."""

import fractions
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

CORNERS = np.array([[(220, 20, 20), (20, 180, 20)], [(20, 20, 220), (230, 230, 60)]], np.uint8)


def marked(frames: int = 3, height: int = 32, width: int = 48) -> np.ndarray:
    """Returns uint8 [frames, height, width, 3]: each quarter of a frame has a color of its own, see `CORNERS`."""
    picture = CORNERS.repeat(height // 2, axis=0).repeat(width // 2, axis=1)
    return np.repeat(picture[None], frames, axis=0)


def corners(picture: np.ndarray) -> list[int]:
    """Returns which of the four colors is at the top left, top right, bottom left and bottom right."""
    height, width = picture.shape[:2]
    found = picture[height // 4 :: height // 2, width // 4 :: width // 2].reshape(4, 1, 3).astype(int)
    return np.abs(found - CORNERS.reshape(1, 4, 3)).sum(-1).argmin(1).tolist()


def write(
    path: Path,
    frames: Sequence[np.ndarray] | Sequence[av.VideoFrame] | np.ndarray,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    source: str = "rgb24",
    times: Sequence[int] = (),
    rate: int = 25,
    set_up: Callable[[Any], None] = lambda stream: None,
    **options: str,
) -> Path:
    """Encodes frames, arrays or frames of FFmpeg; `times` are their time stamps in units of 1 / (40 rate) seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        first = frames[0]
        size = (first.height, first.width) if isinstance(first, av.VideoFrame) else first.shape[:2]
        stream.height, stream.width = size
        stream.pix_fmt, stream.options = pix_fmt, options
        if times:
            stream.codec_context.time_base = fractions.Fraction(1, 40 * rate)
        set_up(stream)
        for index, given in enumerate(frames):
            if isinstance(given, av.VideoFrame):
                frame = given
            else:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(given), format=source)
            if times:
                frame.pts, frame.time_base = times[index], fractions.Fraction(1, 40 * rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


_COEFFICIENTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # of red and blue, by matrix


def yuv(rgb: np.ndarray, matrix: int, *, full: bool = False, bits: int = 8) -> av.VideoFrame:
    """Returns a frame of colors [H, W, 3] in [0, 1], without chroma subsampling and without tags."""
    red, blue = _COEFFICIENTS[matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    chroma = [(rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    unit, most = 2 ** (bits - 8), 2**bits - 1
    scale, base = ((most, most), (0, 128 * unit)) if full else ((219 * unit, 224 * unit), (16 * unit, 128 * unit))
    planes = [scale[0] * luma + base[0], *(scale[1] * plane + base[1] for plane in chroma)]
    kind = np.uint8 if bits == 8 else np.uint16
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], "yuv444p" if bits == 8 else f"yuv444p{bits}le")
    for plane, values in zip(frame.planes, planes, strict=True):
        row = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
        row[:, : values.shape[1]] = np.rint(values).clip(0, most)
        plane.update(row.tobytes())
    return frame


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields (kind, begin, end) of the boxes of an mp4 file, or of the content of one."""
    begin = 0
    while begin + 8 <= len(data):
        end = begin + int.from_bytes(data[begin : begin + 4], "big")
        yield data[begin + 4 : begin + 8], begin, end
        begin = end


def box(kind: bytes, content: bytes) -> bytes:
    """Returns a box of an mp4 file."""
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def changed(data: bytes, place: Sequence[bytes], change: Callable[[bytes], bytes]) -> bytes:
    """Returns an mp4 file, whose index stands at its end, with the content of the box at `place` changed."""
    kind, begin, end = next(found for found in boxes(data) if found[0] == place[0])
    content = data[begin + 8 : end]
    new = change(content) if len(place) == 1 else changed(content, place[1:], change)
    return data[:begin] + box(kind, new) + data[end:]


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Returns where the packets of a video are in its file: (first byte, number of bytes)."""
    data, places, begin = path.read_bytes(), [], 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                begin = data.index(bytes(packet), begin)
                places.append((begin, packet.size))
                begin += packet.size
    return places


def damage(path: Path, packet: int, change: Callable[[bytes], bytes]) -> Path:
    """Changes the bytes of a packet of a video file."""
    begin, size = packet_places(path)[packet]
    data = bytearray(path.read_bytes())
    data[begin : begin + size] = change(bytes(data[begin : begin + size]))
    path.write_bytes(bytes(data))
    return path
