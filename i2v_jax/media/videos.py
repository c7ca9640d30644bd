"""Decoding of video files (PyAV)."""

import contextlib
import itertools
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from i2v_jax.errors import UserError
from i2v_jax.media.damage import DamagedVideo, Packets, listening
from i2v_jax.media.paths import check_file, printable
from i2v_jax.media.presentation import Presentation, is_transparent, present
from i2v_jax.media.timing import is_variable, resampled, resampled_note

_NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_OTHER_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave out the alpha channel
_USUAL_RATE = 25  # frames per second of a file that does not say


@contextlib.contextmanager
def opened(file: Path | BinaryIO) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a video and chooses the stream that a player shows.

    Raises:
        UserError: in its context, for a file that is missing, empty, truncated or damaged, or has no video stream.
    """
    name = printable(file) if isinstance(file, Path) else "the video"
    with contextlib.ExitStack() as stack:
        source: str | BinaryIO = file if not isinstance(file, Path) else str(file)
        if isinstance(file, Path):
            check_file(file)
            if name != str(file):  # PyAV takes names in UTF-8 alone
                source = stack.enter_context(file.open("rb"))
        try:
            with av.open(source, "r", metadata_errors="replace") as container:
                yield container, _shown_stream(container, name)
        except (av.FFmpegError, ValueError) as error:
            raise UserError(
                f"{name}: cannot be decoded, truncated or not a video ({_reason(error)})", "file", name
            ) from error


def _shown_stream(container: InputContainer, name: str) -> VideoStream:
    """Returns the stream that a player shows: no cover, the default one, and rather a video than a still picture."""
    streams = [stream for stream in container.streams.video if not stream.disposition & _NO_VIDEO]
    if not streams:
        raise UserError(f"{name}: no video stream in this file", "file", name)
    return min(streams, key=lambda stream: (stream.frames == 1, not stream.disposition & Disposition.default))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).split("\n")[0]


def iterate_frames(path: Path, *, within: range | None = None, fps: float = 0) -> Iterator[np.ndarray]:
    """Yields the frames of a video file in order, uint8 [h, w, 3], as a player shows them.

    Args:
        path: a video file.
        within: the frames to read, of a video that is damaged elsewhere: see `intact_ranges`.
        fps: frames per second to resample to, as a player shows the video at these moments; 0: each frame once.

    Raises:
        UserError: the file is missing or empty, has no video stream, or cannot be decoded.
        DamagedVideo: a part of it is damaged, and `within` is None.
    """
    yield from VideoFile(path, within=within, fps=fps)


def intact_ranges(path: Path) -> tuple[list[range], str]:
    """Returns the ranges of frames of a damaged video that no damage reaches, and a text that says where the damage is.

    Raises:
        UserError: see `iterate_frames`.
    """
    video = VideoFile(path, within=range(2**62))
    for _ in video.decoded():
        pass
    intact, total = video.packets.intact(), len(video.times)
    if not intact:
        return [], f"damaged: none of {total} frames is intact"
    edges = [0, *(edge for part in intact for edge in (part.start, part.stop)), total]
    gaps = [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if last > first]
    if not gaps:
        return intact, f"damaged: it is cut off or interrupted, but {total} frames are intact"
    words = ", ".join(f"{first} to {last - 1} ({video.times[first]:.2f} s)" for first, last in gaps)
    return intact, f"damaged: frames {words} of {total} are left out"


class VideoFile:
    """The frames of a video file, see `iterate_frames`, and what there is to tell about them."""

    def __init__(self, path: Path, *, within: range | None = None, fps: float = 0) -> None:
        self.path, self._within, self._fps = path, within, fps
        self.packets = Packets()
        self.times: list[float] = []  # of the decoded frames, in seconds
        self.presentation: Presentation | None = None  # since the first frame
        self._tagged: av.VideoFrame | None = None  # the first frame by the stream's own decoder, if there is another
        self._transparent = False
        self._last_seconds = 0.0  # for which the last frame is shown

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields the frames as a player shows them."""
        with contextlib.closing(self.decoded()) as frames:
            timed = resampled(self._timed(frames), self._fps) if self._fps else ((frame, 1) for frame in frames)
            for frame, count in timed:
                assert self.presentation is not None
                yield from itertools.repeat(present(frame, self.presentation), count)

    def decoded(self) -> Generator[av.VideoFrame]:
        """Yields the frames as they are decoded, at every call from the first one on."""
        self.packets, self.times = Packets(), []
        chosen = self._within or range(2**62)
        with listening(), opened(self.path) as (container, stream):
            for frame in self._all(container, stream):
                if self.presentation is None:
                    self.presentation = Presentation.of(stream, frame, self._tagged or frame)
                    self._transparent = self.presentation.alpha and is_transparent(frame)
                self._note_time(frame, stream)
                if len(self.times) > chosen.stop:
                    return
                if len(self.times) > chosen.start:
                    yield frame

    def _all(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        context = _decoder(stream)
        packets = (packet for packet in container.demux(stream) if packet.size)
        while True:
            packet = self.packets.next_of(packets)
            frames = self.packets.decode(context, packet)
            if packet and context is not stream.codec_context and not self._tagged:
                self._tagged = next(iter(Packets().decode(stream.codec_context, packet)), None)
            if self.packets.any_damage and self._within is None:
                at = f" after {self.times[-1]:.2f} s" if self.times else ""
                raise DamagedVideo(f"{printable(self.path)}: damaged{at}", "file", printable(self.path))
            yield from frames
            if packet is None:
                return

    def _note_time(self, frame: av.VideoFrame, stream: VideoStream) -> None:
        usual = 1 / float(stream.average_rate or _USUAL_RATE)
        if frame.pts is None or stream.time_base is None:
            time = self.times[-1] + usual if self.times else 0.0
        else:
            time = float(frame.pts * stream.time_base)
        self.times.append(time)
        self._last_seconds = float((frame.duration or 0) * (stream.time_base or 0)) or usual

    def _timed(self, frames: Iterator[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, float]]:
        """Yields frames with the seconds for which they are shown: until the next one begins."""
        before: tuple[av.VideoFrame, float] | None = None
        for frame in frames:
            if before:
                yield before[0], self.times[-1] - before[1]
            before = frame, self.times[-1]
        if before:
            yield before[0], self._last_seconds

    @property
    def notes(self) -> set[str]:
        """Words that complete "3 videos ...", after the last frame."""
        times = self.times if self._within is None else self.times[self._within.start : self._within.stop]
        told = {
            "with transparency, placed on white": self._transparent,
            "with equal time stamps, whose frames are all kept": any(b <= a for a, b in itertools.pairwise(times)),
            "with a variable frame rate, whose frames are all kept": not self._fps and is_variable(times),
            resampled_note(self._fps): bool(self._fps),
        }
        return {words for words, applies in told.items() if applies} | set(
            self.presentation.notes if self.presentation else ()
        )


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """Returns the decoder of a stream, which decodes the alpha channel too and sees as much damage as any does."""
    context = stream.codec_context
    context.thread_count = 1  # several videos are read at the same time instead, and what is wrong is told in order
    context.options = {"err_detect": "crccheck"}
    if context.name == "vp9" or (context.name == "vp8" and stream.metadata.get("alpha_mode") == "1"):
        context = cast(VideoCodecContext, av.CodecContext.create(_OTHER_DECODERS[context.name], "r"))
        context.thread_count = 1
    return context


def is_lossless(path: Path) -> bool:
    """Returns whether the codec of a video file loses nothing. Raises UserError as `iterate_frames`."""
    with opened(path) as (_, stream):
        codec = stream.codec_context.codec
        return codec.lossless and not codec.lossy
