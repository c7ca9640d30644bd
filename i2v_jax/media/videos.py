"""Decoding of video files (PyAV)."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from i2v_jax.errors import UserError
from i2v_jax.media.paths import check_file
from i2v_jax.media.presentation import Presentation, present


@contextlib.contextmanager
def opened(file: Path | BinaryIO) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a video and chooses the stream that a player shows.

    Raises:
        UserError: in its context, for a file that is missing, empty, truncated or damaged, or has no video stream.
    """
    name = str(file) if isinstance(file, Path) else "the video"
    if isinstance(file, Path):
        check_file(file)
    try:
        with av.open(str(file) if isinstance(file, Path) else file, "r") as container:
            if not container.streams.video:
                raise UserError(f"{name}: no video stream in this file", "file", name)
            yield container, container.streams.video[0]
    except (av.FFmpegError, ValueError) as error:
        raise UserError(
            f"{name}: cannot be decoded, truncated or not a video ({_reason(error)})", "file", name
        ) from error


def iterate_frames(path: Path) -> Iterator[np.ndarray]:
    """Yields the frames of a video file in order, uint8 [h, w, 3], rotated upright.

    Raises:
        UserError: the file is missing, empty or truncated, or has no video stream.
    """
    with opened(path) as (container, stream):
        presentation = None
        for frame in container.decode(stream):
            presentation = presentation or Presentation.of(stream, frame)
            yield present(frame, presentation)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).split("\n")[0]


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
    times: list[int] = []
    keyframes: list[int] = []
    with opened(path) as (container, stream):
        for frame in container.decode(stream):
            if frame.pts is None:
                raise UserError(f"{path}: the frames have no time stamps: use --store=frames", "file", str(path))
            if frame.key_frame:
                keyframes.append(len(times))
            times.append(frame.pts)
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
    presentation = None
    try:
        with opened(io.BytesIO(encoded)) as (container, stream):
            stream.codec_context.thread_count = 1  # several clips are read at the same time instead
            if before > 0:
                container.seek(int(table.times[table.keyframes[before]]), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.pts in missing:
                    presentation = presentation or Presentation.of(stream, frame)
                    frames[wanted[frame.pts]] = present(frame, presentation, shrink)
                    missing.discard(frame.pts)
                    if not missing:
                        break
    except UserError as error:
        raise UserError(f"a stored video is damaged ({error}): prepare it again") from error
    if missing:
        raise UserError(
            f"{len(missing)} of {len(frame_indices)} frames are missing from a stored video: prepare it again",
            "frames",
            len(missing),
        )
    return np.stack([frame for frame in frames if frame is not None])
