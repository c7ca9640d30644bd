"""Decoding of video files (PyAV) and folders of images."""

import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from i2v_jax.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".webm", ".mkv", ".gif", ".m4v")
SEEKABLE_SUFFIXES = (".mp4", ".mov", ".m4v", ".webm", ".mkv")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def natural_key(path: Path | str) -> list[tuple[int, int, str]]:
    """Returns a sort key that orders numbers in names by value: frame9 before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def frame_files(folder: Path) -> list[Path]:
    """Returns the images of a folder in natural order, without hidden files."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted(files, key=lambda p: natural_key(p.name))


def iterate_frames(path: Path) -> Iterator[np.ndarray]:
    """Yields the frames of a video file in order, uint8 [h, w, 3], rotated upright.

    Raises:
        UserError: the file is missing, empty or truncated, or has no video stream.
    """
    check_file(path)
    try:
        with av.open(str(path), "r") as container:
            if not container.streams.video:
                raise UserError(f"{path}: no video stream in this file", "file", str(path))
            reformatter = VideoReformatter()
            for frame in container.decode(video=0):
                yield _upright(frame, reformatter)
    except (av.FFmpegError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be decoded, truncated or not a video ({_reason(error)})", "file", str(path)
        ) from error


def check_file(path: Path) -> None:
    """Raises UserError if a file is missing or empty."""
    if not path.is_file():
        raise UserError(f"{path}: no such file", "file", str(path))
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty", "file", str(path))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).split("\n")[0]


def _upright(frame: av.VideoFrame, reformatter: VideoReformatter, shrink: int = 1) -> np.ndarray:
    """Returns uint8 [h / shrink, w / shrink, 3]; phones store the rotation next to the pixels.

    All frames of a video share one reformatter, since setting it up costs more than using it.
    """
    width, height = frame.width // shrink, frame.height // shrink
    interpolation = "BILINEAR" if shrink == 1 else "AREA"
    pixels = reformatter.reformat(frame, width, height, "rgb24", interpolation=interpolation).to_ndarray()
    quarter_turns = round(frame.rotation / 90) % 4
    return np.rot90(pixels, quarter_turns) if quarter_turns else pixels


@dataclasses.dataclass(frozen=True)
class FrameTable:
    """The positions of the frames of an encoded video, for reading a clip without decoding everything before it."""

    times: np.ndarray  # int64 [N], presentation times in the stream's time base, ascending
    keyframes: np.ndarray  # int64 [K], indices into `times` of the frames that decode on their own, ascending


def scan_frames(path: Path) -> FrameTable:
    """Decodes a whole file and returns the positions of its frames, except those that cannot be decoded.

    Raises:
        UserError: see `iterate_frames`.
    """
    check_file(path)
    times: list[int] = []
    keyframes: list[int] = []
    try:
        with av.open(str(path), "r") as container:
            if not container.streams.video:
                raise UserError(f"{path}: no video stream in this file", "file", str(path))
            for frame in container.decode(video=0):
                if frame.pts is None:
                    raise UserError(f"{path}: the frames have no time stamps: use --store=frames", "file", str(path))
                if frame.key_frame:
                    keyframes.append(len(times))
                times.append(frame.pts)
    except (av.FFmpegError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be decoded, truncated or not a video ({_reason(error)})", "file", str(path)
        ) from error
    return FrameTable(np.asarray(times, np.int64), np.asarray(keyframes, np.int64))


def decode_at(encoded: bytes, table: FrameTable, frame_indices: Sequence[int], shrink: int = 1) -> np.ndarray:
    """Decodes selected frames of an encoded video, starting from the last key frame before them.

    Args:
        encoded: the bytes of the file.
        table: the frame table of the file.
        frame_indices: T ascending indices.
        shrink: divisor of height and width.

    Returns:
        uint8 [T, h / shrink, w / shrink, 3].

    Raises:
        UserError: a frame is missing because the bytes are damaged.
    """
    wanted = {int(table.times[i]): position for position, i in enumerate(frame_indices)}
    before = np.searchsorted(table.keyframes, frame_indices[0], side="right") - 1
    frames: list[np.ndarray | None] = [None] * len(frame_indices)
    missing = set(wanted)
    reformatter = VideoReformatter()
    try:
        with av.open(io.BytesIO(encoded), "r") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # several clips are read at the same time instead
            if before > 0:
                container.seek(int(table.times[table.keyframes[before]]), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.pts in missing:
                    frames[wanted[frame.pts]] = _upright(frame, reformatter, shrink)
                    missing.discard(frame.pts)
                    if not missing:
                        break
    except (av.FFmpegError, IndexError) as error:
        raise UserError(f"a stored video is damaged ({_reason(error)}): prepare it again") from error
    if missing:
        raise UserError(
            f"{len(missing)} of {len(frame_indices)} frames are missing from a stored video: prepare it again",
            "frames",
            len(missing),
        )
    return np.stack([frame for frame in frames if frame is not None])
