"""Encoded video without its container: groups of packets, from which the frames of a clip are decoded.

Frames are counted in the order in which they are shown. A packet is known by its number, which takes the place of its
time stamp while it is decoded, so it does not matter whether time stamps are missing or equal.

A group begins at a key frame, but this does not mean that the frames after it can be decoded without the group before:
some of its frames may be shown before the key frame and refer to earlier ones (open groups), and some encoders mark
frames that merely begin a refresh. So every group is decoded on its own once, and the index says from which frame on
that gave what decoding from the start gives.
"""

import base64
import bisect
import dataclasses
import itertools
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import av
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.media.presentation import Presentation, present
from i2v_jax.media.videos import VideoFile, opened

_GROUP_BYTES = 2**22  # a longer group of pictures is stored in several parts
_NEVER = -1


@dataclasses.dataclass(frozen=True)
class Codec:
    """What a decoder must know about a stream, without its container."""

    name: str
    extradata: str  # base64
    tag: str
    width: int
    height: int
    pixel_format: str
    reorder_depth: int
    bits: int  # bits per coded sample; 0: the codec knows

    @classmethod
    def of(cls, context: av.VideoCodecContext) -> Self:
        """Returns the parameters of an opened stream."""
        return cls(
            name=context.name,
            extradata=base64.b64encode(context.extradata or b"").decode(),
            tag=context.codec_tag,
            width=context.width,
            height=context.height,
            pixel_format=context.pix_fmt or "",
            reorder_depth=context.reorder_depth,
            bits=context.bits_per_coded_sample,
        )

    def open(self) -> av.VideoCodecContext:
        """Returns a decoder."""
        context = av.CodecContext.create(self.name, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1  # several clips are read at the same time instead
        context.extradata = base64.b64decode(self.extradata) or None
        context.codec_tag = self.tag
        context.width, context.height = self.width, self.height
        if self.pixel_format:
            context.pix_fmt = self.pixel_format
        context.reorder_depth = self.reorder_depth
        if self.bits:
            context.bits_per_coded_sample = self.bits
        return context


@dataclasses.dataclass(frozen=True)
class Table:
    """Where the frames of a video are in its groups of packets. `to_json` is what an index holds."""

    codec: Codec
    presentation: Presentation
    ends: tuple[int, ...]  # the number of packets up to the end of each group
    exact_from: tuple[int, ...]  # for each group the first frame that decoding from there on gives right; -1: none
    frames: tuple[int, ...]  # the packet of each frame

    def to_json(self) -> dict[str, Any]:
        """Returns numbers and texts alone."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Returns what `to_json` wrote."""
        fields = {name: tuple(content[name]) for name in ("ends", "exact_from", "frames")}
        return cls(Codec(**content["codec"]), Presentation(**content["presentation"]), **fields)

    def groups(self, frame_indices: Sequence[int]) -> range:
        """Returns the groups that are needed to decode ascending frames."""
        starts = (g for g, exact in enumerate(self.exact_from) if 0 <= exact <= frame_indices[0])
        last = max(self.frames[index] for index in frame_indices)
        return range(max(starts), bisect.bisect_right(self.ends, last) + 1)

    def part(self, frames: range) -> tuple[Self, range]:
        """Returns the table of some of the frames, and the groups that it needs, which it counts from 0."""
        kept = self.groups(frames)
        begin = self.ends[kept.start - 1] if kept.start else 0
        exact = [-(-max(0, e - frames.start) // frames.step) if e != _NEVER else e for e in self.exact_from]
        chosen = dataclasses.replace(
            self,
            ends=tuple(end - begin for end in self.ends[kept.start : kept.stop]),
            exact_from=tuple(exact[kept.start : kept.stop]),
            frames=tuple(self.frames[index] - begin for index in frames),
        )
        return chosen, kept

    def decode(
        self, first: int, groups: Iterable[Sequence[bytes]], frame_indices: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Yields frames, uint8 [h, w, 3].

        Args:
            first: the number of the first group, of `groups(frame_indices)`.
            groups: the packets of these groups.
            frame_indices: ascending.

        Raises:
            UserError: the packets are damaged.
        """
        wanted = [self.frames[index] for index in frame_indices]
        begin = self.ends[first - 1] if first else 0
        try:
            for frame in _decode(self.codec, itertools.chain.from_iterable(groups), begin):
                if frame.pts == wanted[0]:
                    yield present(frame, self.presentation)
                    wanted = wanted[1:]
                    if not wanted:
                        return
        except av.FFmpegError as error:
            raise UserError(f"a stored video is damaged ({error.strerror}): prepare it again") from error
        raise UserError(
            f"{len(wanted)} of {len(frame_indices)} frames are missing from a stored video: prepare it again",
            "frames",
            len(wanted),
        )


def _decode(codec: Codec, packets: Iterable[bytes], first: int = 0) -> Iterator[av.VideoFrame]:
    """Yields frames whose `pts` is the number of their packet; `first` is the number of the first packet."""
    decoder = codec.open()
    for number, content in enumerate(packets, first):
        packet = av.Packet(content)
        packet.pts = packet.dts = number
        yield from decoder.decode(packet)
    yield from decoder.decode(None)


def read_groups(path: Path) -> Iterator[list[bytes]]:
    """Yields the groups of packets of a video file. A group begins at a key frame, or is the rest of a long one."""
    group: list[bytes] = []
    size = 0
    with opened(path) as (container, stream):
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if group and (packet.is_keyframe or size > _GROUP_BYTES):
                yield group
                group, size = [], 0
            group.append(bytes(packet))
            size += packet.size
    if group:
        yield group


def scan(video: VideoFile) -> Table:
    """Decodes a video file and returns where its frames are. The notes of `video` are complete then.

    Raises:
        UserError: the file cannot be decoded, its frames have several sizes, or its packets give other frames outside
            of their container.
    """
    path = video.path
    with opened(path) as (_, stream):
        codec = Codec.of(stream.codec_context)
    shown, sizes = list[int](), dict[tuple[int, ...], None]()
    for frame in video:
        shown.append(zlib.crc32(frame.tobytes()))
        sizes[frame.shape[:2]] = None
    if len(sizes) > 1:
        listed = ", ".join(f"{width}x{height}" for height, width in sizes)
        raise UserError(f"its frames have several sizes ({listed}): use --store=frames with --size", "store", "video")
    presentation = video.presentation or Presentation()
    try:
        whole = _checksums(codec, presentation, itertools.chain.from_iterable(read_groups(path)), 0)
        if [checksum for _, checksum in whole] != shown or len(dict(whole)) != len(whole):
            raise _stays(path)
        frames = tuple(number for number, _ in whole)
        ends, exact_from, begin = [], [], 0
        for group in read_groups(path):
            ends.append(begin + len(group))
            exact_from.append(_exact_from(whole, begin, ends[-1], _alone(codec, presentation, group, begin)))
            begin = ends[-1]
    except av.FFmpegError as error:
        raise _stays(path) from error
    return Table(codec, presentation, tuple(ends), (0, *exact_from[1:]), frames)


def _alone(codec: Codec, presentation: Presentation, group: Sequence[bytes], first: int) -> list[tuple[int, int]]:
    """Returns what a group gives that is decoded alone: nothing, if its frames need those before."""
    try:
        return _checksums(codec, presentation, group, first)
    except av.FFmpegError:
        return []


def _checksums(codec: Codec, presentation: Presentation, packets: Iterable[bytes], first: int) -> list[tuple[int, int]]:
    """Returns (packet, checksum of what is shown) of each frame."""
    frames = _decode(codec, packets, first)
    return [(frame.pts or 0, zlib.crc32(present(frame, presentation).tobytes())) for frame in frames]


def _exact_from(whole: Sequence[tuple[int, int]], begin: int, end: int, alone: Sequence[tuple[int, int]]) -> int:
    """Returns the first frame from which on a group of packets, decoded alone, gives what the whole video gives."""
    found = dict(alone)
    exact = _NEVER
    for index in reversed(range(len(whole))):
        packet, checksum = whole[index]
        if begin <= packet < end:
            if found.get(packet) != checksum:
                break
            exact = index
    return exact


def _stays(path: Path) -> UserError:
    return UserError(
        f"{path}: its packets cannot be decoded outside of their container: use --store=frames", "store", "video"
    )
