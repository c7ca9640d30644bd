"""Damage inside videos that decoders conceal: where it is, and which frames are intact.

FFmpeg conceals damage: it repeats parts of earlier frames, and says so in its log at most. A packet counts as damaged
if decoding it fails, writes an error to the log, or gives a frame that is marked as corrupt. All frames up to the next
key frame may refer to it, so they are left out with it. Some damage decodes to other pictures without any error (VP8
has no checks, and some codes of H.264 and VP9 remain valid): no reader can see that.
"""

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator

import av
import numpy as np
from av.logging import Capture
from av.video.codeccontext import VideoCodecContext

from i2v_jax.errors import UserError


class DamagedVideo(UserError):
    """A part of a video file is damaged."""


_LOG = logging.getLogger("libav")  # where PyAV sends what nobody captures
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False
_HARMLESS = ("EXIF", "APP fields", "SEI", "Dolby Vision", "mmco: unref short failure")  # errors beside the pictures
_SILENT = ("mpeg1video", "mpeg2video")  # give no frame for a damaged packet, without any error
_REORDERED = 32  # frames: more than any codec stores in another order than it shows them
_lock = threading.Lock()
_listeners = 0


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Turns on FFmpeg's log in its context, for `captured`: it is off otherwise."""
    global _listeners  # noqa: PLW0603
    with _lock:
        _listeners += 1
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
    try:
        yield
    finally:
        with _lock:
            _listeners -= 1
            if not _listeners:
                av.logging.set_level(None)


class Packets:
    """The packets of a stream as they were decoded, and which of them are damaged."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._starts: list[int] = []  # the packets that are key frames
        self._damaged: set[int] = set()
        self._frames: list[int | None] = []
        self._corrupt: list[int] = []
        self._is_cut = False  # the file ends in the middle

    @property
    def any_damage(self) -> bool:
        """Whether any damage was found so far."""
        return bool(self._damaged or self._corrupt or self._is_cut)

    def decode(self, context: VideoCodecContext, packet: av.Packet | None) -> list[av.VideoFrame]:
        """Returns the frames that a packet gives; without a packet, those that the decoder kept."""
        number = len(self._times)
        if packet is not None:
            time = packet.pts if packet.pts is not None else packet.dts
            self._times.append(number if time is None else time)
            if packet.is_keyframe:
                self._starts.append(number)
            if packet.is_corrupt:
                self._damaged.add(number)
        with Capture() as errors:
            try:
                frames = context.decode(packet)
            except av.FFmpegError:
                frames = []
                self._damaged.add(number)
        if any(not any(words in message for words in _HARMLESS) for _, _, message in errors):
            self._damaged.add(number)
        if packet is None and context.name in _SILENT and not any(frame.interlaced_frame for frame in frames):
            self._damaged |= self._missing(frame.pts for frame in frames)
        for frame in frames:
            self._frames.append(frame.pts)
            if frame.is_corrupt and frame.pts is not None:
                self._corrupt.append(frame.pts)
        return frames

    def _missing(self, last: Iterable[int | None]) -> set[int]:
        """Returns the packets that gave no frame, but those before the first frame, once all others came."""
        shown = {time for time in [*self._frames, *last] if time is not None}
        first = min(shown, default=0)
        return {number for number, time in enumerate(self._times) if time > first and time not in shown}

    def next_of(self, packets: Iterator[av.Packet]) -> av.Packet | None:
        """Returns the next packet; None at the end, also where a file is cut off."""
        with Capture() as errors:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                if not self._frames:
                    raise
                packet, self._is_cut = None, True
        self._is_cut = self._is_cut or (packet is None and bool(errors))
        return packet

    def intact(self) -> list[range]:
        """Returns the ranges of frames that no damage reaches or interrupts, after all of them were decoded."""
        damage = list(self._intervals(np.asarray(self._times)))
        ranges: list[range] = []
        last = -np.inf
        for index, shown in enumerate(self._frames):
            time = index if shown is None else shown
            if not any(first <= time < end for first, end in damage):
                if ranges and ranges[-1].stop == index and not any(last < first <= time for first, _ in damage):
                    ranges[-1] = range(ranges[-1].start, index + 1)
                else:
                    ranges.append(range(index, index + 1))
            last = time
        return ranges

    def _intervals(self, times: np.ndarray) -> Iterator[tuple[float, float]]:
        """Yields the intervals of time that damage reaches."""
        starts = np.asarray(self._starts, int)
        shown = set(self._frames)
        for packet in self._damaged:
            after = starts[starts > packet]
            stop = int(after[0]) if len(after) else len(times)
            # Decoders with several frames in work tell later: the frames that never came are damaged too.
            before = starts[starts < packet]
            missing = [t for t in times[int(before[-1]) if len(before) else 0 : stop] if t not in shown]
            own = times[min(packet, len(times) - 1) : stop]
            yield min([*own, *missing], default=np.inf), times[stop] if stop < len(times) else np.inf
        if self._is_cut:  # frames may be missing before the last ones, which are stored before them
            last = np.unique(times)[-_REORDERED:]
            steps = np.diff(last)
            gaps = np.flatnonzero(steps > 1.5 * np.median(steps)) if len(steps) else steps
            yield last[gaps[0] + 1] if len(gaps) else np.inf, np.inf
        for time in self._corrupt:
            later = times[starts][times[starts] > time] if len(starts) else []
            yield time, min(later, default=np.inf)
