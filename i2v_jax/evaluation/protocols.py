"""The clips that a protocol takes from a list of videos. The protocols themselves are defined with the data sets."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from i2v_jax.data.protocol import POKE, Protocol
from i2v_jax.data.registry import DATA_SETS
from i2v_jax.errors import UserError
from i2v_jax.input.clips import StartRule


def protocols() -> dict[str, Protocol]:
    """Returns the protocols by name: those of all data sets, and `poke`."""
    return {protocol.name: protocol for protocol in (*(item.protocol for item in DATA_SETS.values()), POKE)}


def get_protocol(name: str, release_quirks: bool = False) -> Protocol:
    """Returns a protocol, with `release_quirks` as the authors' scripts compute it. Raises UserError if unknown."""
    known = protocols()
    if name not in known:
        raise UserError(f"unknown protocol {name!r}: choose from {', '.join(known)}", "protocol", name)
    return known[name].as_released() if release_quirks else known[name]


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames `start`, `start + stride`, ... of a video: `frames` of them, including x0."""

    video: str
    start: int
    frames: int
    stride: int = 1

    @property
    def indices(self) -> range:
        return range(self.start, self.start + self.frames * self.stride, self.stride)


@dataclasses.dataclass(frozen=True)
class ClipList:
    """The clips of an evaluation in order. Everyone who has the same videos has the same clips."""

    clips: tuple[Clip, ...]
    too_short: tuple[str, ...]  # videos without clips

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def sha256(self) -> str:
        """The hash of the clips as JSON [[video, start, frames, stride], ...]."""
        rows = [[clip.video, clip.start, clip.frames, clip.stride] for clip in self.clips]
        return hashlib.sha256(json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()

    def distinct(self, count: int) -> int:
        """Returns how many of the first `count` clips differ: a video with few frames has some clips several times."""
        return len(set(self.clips[:count]))


def clip_list(
    protocol: Protocol, videos: Sequence[tuple[str, int]], seed: int = 0, paired: bool = False, limit: int = 0
) -> ClipList:
    """Returns the clips that a protocol takes from videos.

    A random start depends only on the seed, the name of the video and the index of the draw; starts repeat only after
    all were drawn. If the protocol has a total number of clips, a shorter list is the beginning of a longer one.

    Args:
        protocol: which clips.
        videos: (name, number of frames) of the videos of a split, in any order.
        seed: of the random starts.
        paired: whether to return the list for LPIPS, PSNR and SSIM, which may be longer.
        limit: the maximum number of clips, of which the first ones are returned; 0: all.

    Raises:
        UserError: no video is long enough, or two videos have the same name.
    """
    lengths = dict(videos)
    if len(lengths) != len(videos):
        names = sorted(name for name, _ in videos)
        twice = next(name for name, other in itertools.pairwise(names) if name == other)
        raise UserError(
            f"two videos have the name {twice!r}: names must be unique for a reproducible clip list", "videos", twice
        )
    rooms = {name: length - protocol.span for name, length in sorted(lengths.items()) if length >= protocol.span}
    if not rooms:
        raise UserError(
            f"none of the {len(videos)} videos has the {protocol.span} frames that protocol {protocol.name} needs: "
            "add longer videos or lower the stride",
            "protocol",
            protocol.name,
        )
    total = protocol.clips
    if paired and protocol.paired_clips:
        total = protocol.paired_clips
    drawn: Iterable[tuple[str, int]]
    if protocol.starts == "frames":
        drawn = _from_all_frames(rooms, protocol.span, seed, total)
    elif total:
        drawn = _in_turn(protocol.starts, rooms, seed, total)
    else:
        drawn = _video_by_video(protocol.starts, rooms, seed, protocol.clips_per_video)
    clips = tuple(Clip(name, start, 1 + protocol.clip_frames, protocol.stride) for name, start in drawn)
    return ClipList(clips[: limit or None], tuple(sorted(set(lengths) - set(rooms))))


def spare_clips(protocol: Protocol, videos: Sequence[tuple[str, int]], seed: int, taken: Sequence[Clip]) -> ClipList:
    """Returns as many further clips as `taken`, all different and not in `taken`; none if there are fewer.

    Args:
        protocol, videos, seed: see `clip_list`.
        taken: the first clips of the list, as many as a distance between sets uses.
    """
    twice = dataclasses.replace(protocol, clips=2 * protocol.clips, clips_per_video=2 * protocol.clips_per_video)
    known = set(taken)
    more = [clip for clip in dict.fromkeys(clip_list(twice, videos, seed).clips) if clip not in known]
    return ClipList(tuple(more[: len(taken)]) if len(more) >= len(taken) else (), ())


def _from_all_frames(rooms: Mapping[str, int], span: int, seed: int, total: int) -> list[tuple[str, int]]:
    """Returns at most `total` clips, one for each frame in random order; it starts there, or as late as it can."""
    frames = [(name, frame) for name, room in rooms.items() for frame in range(room + span)]
    frames.sort(key=lambda item: hashlib.sha256(f"{seed}/{item[0]}/{item[1]}".encode()).digest())
    return [(name, min(frame, rooms[name])) for name, frame in frames[:total]]


def _in_turn(rule: StartRule, rooms: Mapping[str, int], seed: int, total: int) -> Iterator[tuple[str, int]]:
    rounds = -(-total // len(rooms))
    starts = {name: _starts(rule, seed, name, room, rounds) for name, room in rooms.items()}
    names = list(rooms)
    for index in range(total):
        name = names[index % len(names)]
        yield name, starts[name][index // len(names)]


def _video_by_video(
    rule: StartRule, rooms: Mapping[str, int], seed: int, clips_per_video: int
) -> Iterator[tuple[str, int]]:
    for name, room in rooms.items():
        for start in _starts(rule, seed, name, room, clips_per_video):
            yield name, start


def _starts(rule: StartRule, seed: int, name: str, room: int, count: int) -> list[int]:
    """Returns `count` starts in 0 .. room."""
    if rule == "first":
        return [0] * count
    if rule == "even":
        return [round(room * index / (count - 1)) if count > 1 else 0 for index in range(count)]
    # A hash instead of a random generator, whose numbers may change with the library's version.
    order = sorted(range(room + 1), key=lambda start: hashlib.sha256(f"{seed}/{name}/{start}".encode()).digest())
    return [order[index % len(order)] for index in range(count)]
