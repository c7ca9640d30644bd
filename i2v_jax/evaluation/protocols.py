"""The evaluation protocols of both papers, and two for other data: which clips, which frames, what is paired with what.

Sources: cINN paper, supplement C.2; poke paper, appendix F; and the authors' releases, whose deviations are a switch.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from i2v_jax.errors import UserError

# first: the start of each video. even: spread over it. random: drawn from it. Each gives `clips_per_video` clips, or
# with `clips` so many in all, taken from the videos in turn.
StartRule = Literal["first", "even", "random"]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a set of videos becomes numbers. A clip is x0 and the `clip_frames` frames after it."""

    name: str
    frames: int  # generated frames that are scored
    start_frame_scored: bool  # is x0 the first frame of both clips of a Fréchet distance over videos
    starts: StartRule
    clips_per_video: int = 0
    clips: int = 0  # in all, for distances between sets; 0: as many as clips_per_video gives
    paired_clips: int = 0  # for LPIPS, PSNR, SSIM; 0: the same clips
    stride: int = 1
    truth_offset: int = 1  # number of the true frame that the first generated one is held against; 1 is aligned
    release: bool = False  # as the authors' scripts: whole batches, x0 among the frames (`conventions` says of what)
    video_dtype: Literal["float32", "uint8"] = "float32"  # of the frames of a Fréchet distance over videos
    metrics: tuple[str, ...] = ()
    least_frames: int = 0  # after x0 that clips have, also where fewer are scored: a model's latent needs them

    @property
    def clip_frames(self) -> int:
        """Length of the clips without x0."""
        return max(self.frames, self.least_frames)

    @property
    def span(self) -> int:
        """Frames of the video from x0 to the last of the clip."""
        return self.clip_frames * self.stride + 1

    @property
    def pairing(self) -> str:
        """For the record."""
        return "aligned" if self.truth_offset == 1 else "generated frame t with true frame t - 1"

    def paired(self, clips: ArrayLike, generated: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """True and generated frames that meet each other, without x0.

        Args:
            clips: [B, 1 + T, H, W, 3], x0 first, T at least `frames`.
            generated: [B, T, H, W, 3].

        Returns:
            Two arrays [B, frames, H, W, 3].

        Raises:
            UserError: too few frames, or not as many clips.
        """
        clips, generated = jnp.asarray(clips), jnp.asarray(generated)
        if len(clips) != len(generated):
            raise UserError(f"{len(clips)} true but {len(generated)} generated clips: each needs its counterpart")
        if clips.shape[1] < 1 + self.frames or generated.shape[1] < self.frames:
            raise UserError(
                f"protocol {self.name} needs x0 and {self.frames} frames: "
                f"there are {clips.shape[1]} true and {generated.shape[1]} generated ones"
            )
        return clips[:, self.truth_offset : self.truth_offset + self.frames], generated[:, : self.frames]

    def with_start_frame(self, clips: ArrayLike, generated: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """The same with x0 first in both, [B, 1 + frames, H, W, 3]; arguments as in `paired`."""
        _, video = self.paired(clips, generated)
        clips = jnp.asarray(clips)
        return clips[:, : 1 + self.frames], jnp.concatenate([clips[:, :1], video], axis=1)


_QUALITY = ("fvd", "lpips", "psnr", "ssim")
_DIVERSITY = ("diversity_vgg", "diversity_i3d")
_LIKELIHOOD = ("log_likelihood", "bits_per_dimension")

PROTOCOLS: Mapping[str, Protocol] = {
    # x0 and 15 of the 16 generated frames: the clips of 16 frames that others score.
    "bair": Protocol(
        "bair", 15, True, "first", clips_per_video=1, metrics=(*_QUALITY, *_DIVERSITY, *_LIKELIHOOD), least_frames=16
    ),
    "iper": Protocol("iper", 16, True, "random", clips=1000, metrics=(*_QUALITY, *_DIVERSITY, *_LIKELIHOOD)),
    # 32 frames by chaining two times 16; "longer than 32 frames" leaves room for x0.
    "landscape": Protocol(
        "landscape", 32, False, "random", clips_per_video=6,
        metrics=(*_QUALITY, "fid", "dtfvd_32", *_DIVERSITY, "diversity_dti3d_32", *_LIKELIHOOD),
    ),
    "dtdb": Protocol(
        "dtdb", 16, False, "even", clips_per_video=5,
        metrics=(*_QUALITY, "fid", "dtfvd_16", *_DIVERSITY, "diversity_dti3d_16", *_LIKELIHOOD),
    ),
    "poke": Protocol(
        "poke", 10, False, "random", clips=1000, paired_clips=8000, metrics=(*_QUALITY, "fid_per_frame")
    ),
    # Of this project: the embedded sky, and clips of the user's own.
    "sky": Protocol(
        "sky", 16, True, "first", clips_per_video=1, metrics=(*_QUALITY, *_DIVERSITY, *_LIKELIHOOD)
    ),
    "folder": Protocol(
        "folder", 16, True, "even", clips_per_video=5, metrics=(*_QUALITY, *_DIVERSITY, *_LIKELIHOOD)
    ),
}  # fmt: skip

# The cINN release cuts the last true frame off instead of x0 where x0 is not scored.
_SHIFTED = ("landscape", "dtdb")


def get_protocol(name: str, release_quirks: bool = False) -> Protocol:
    """One of `PROTOCOLS`, with `release_quirks` as the authors' scripts compute it.

    Raises:
        UserError: there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise UserError(f"there is no protocol {name!r}: choose from {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if not release_quirks:
        return protocol
    offset = 0 if name in _SHIFTED else protocol.truth_offset
    # The poke release stores the videos of its FVD as bytes.
    dtype: Literal["float32", "uint8"] = "uint8" if name == "poke" else "float32"
    return dataclasses.replace(protocol, truth_offset=offset, release=True, video_dtype=dtype)


def of_whole_videos(protocol: Protocol, frames: int) -> Protocol:
    """The same where every video is one clip, of `frames` after x0: each of them once."""
    return dataclasses.replace(
        protocol, frames=frames, starts="first", clips_per_video=1, clips=0, paired_clips=0, stride=1
    )


def protocol_of(data: str) -> str:
    """The name of the protocol for a data set. Raises UserError when it has none."""
    name = data.partition("_")[0]
    if name not in PROTOCOLS:
        raise UserError(f"there is no protocol of its own for data set {data!r}: choose from {', '.join(PROTOCOLS)}")
    return name


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames `start`, `start + stride`, ... of a video, `frames` of them, x0 included."""

    video: str
    start: int
    frames: int
    stride: int = 1

    @property
    def indices(self) -> range:
        return range(self.start, self.start + self.frames * self.stride, self.stride)


@dataclasses.dataclass(frozen=True)
class ClipList:
    """The clips of an evaluation, in order; the same for everyone who has the same videos."""

    clips: tuple[Clip, ...]
    too_short: tuple[str, ...]  # videos that gave none

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def sha256(self) -> str:
        """Of the clips as JSON [[video, start, frames, stride], ...]."""
        rows = [[clip.video, clip.start, clip.frames, clip.stride] for clip in self.clips]
        return hashlib.sha256(json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()

    def distinct(self, count: int) -> int:
        """How many of the first `count` differ: a video with fewer starts than draws gives some clips again."""
        return len(set(self.clips[:count]))


def clip_list(
    protocol: Protocol, videos: Sequence[tuple[str, int]], seed: int = 0, paired: bool = False, limit: int = 0
) -> ClipList:
    """The clips of `protocol` from videos given as (name, number of frames), in any order.

    A draw depends on the seed, the video's name and the draw's number alone; starts repeat only when all were drawn.
    A shorter list is the beginning of a longer one where the protocol says how many clips there are.

    Args:
        protocol: which clips.
        videos: of the test split, each name once.
        seed: of the random draws.
        paired: the list for LPIPS, PSNR and SSIM, where that is another.
        limit: at most so many clips, the first ones; 0: all.

    Raises:
        UserError: no video is long enough, or a name occurs twice.
    """
    lengths = dict(videos)
    if len(lengths) != len(videos):
        names = sorted(name for name, _ in videos)
        twice = next(name for name, other in itertools.pairwise(names) if name == other)
        raise UserError(f"two videos are called {twice!r}: names must differ for the clip list to be reproducible")
    rooms = {name: length - protocol.span for name, length in sorted(lengths.items()) if length >= protocol.span}
    if not rooms:
        raise UserError(
            f"none of the {len(videos)} videos has the {protocol.span} frames that protocol {protocol.name} needs: "
            "add longer videos or lower the stride"
        )
    total = protocol.clips
    if paired and protocol.paired_clips:
        total = protocol.paired_clips
    drawn = _in_turn(protocol, rooms, seed, total) if total else _video_by_video(protocol, rooms, seed)
    clips = tuple(Clip(name, start, 1 + protocol.clip_frames, protocol.stride) for name, start in drawn)
    return ClipList(clips[: limit or None], tuple(sorted(set(lengths) - set(rooms))))


def spare_clips(protocol: Protocol, videos: Sequence[tuple[str, int]], seed: int, taken: Sequence[Clip]) -> ClipList:
    """As many clips more by the same rule, all different and none of them taken; none at all where there are fewer.

    Args:
        protocol, videos, seed: of `clip_list`.
        taken: its first clips, as many as a distance between sets has.
    """
    twice = dataclasses.replace(protocol, clips=2 * protocol.clips, clips_per_video=2 * protocol.clips_per_video)
    known = set(taken)
    more = [clip for clip in dict.fromkeys(clip_list(twice, videos, seed).clips) if clip not in known]
    return ClipList(tuple(more[: len(taken)]) if len(more) >= len(taken) else (), ())


def _in_turn(protocol: Protocol, rooms: Mapping[str, int], seed: int, total: int) -> Iterator[tuple[str, int]]:
    rounds = -(-total // len(rooms))
    starts = {name: _starts(protocol.starts, seed, name, room, rounds) for name, room in rooms.items()}
    names = list(rooms)
    for number in range(total):
        name = names[number % len(names)]
        yield name, starts[name][number // len(names)]


def _video_by_video(protocol: Protocol, rooms: Mapping[str, int], seed: int) -> Iterator[tuple[str, int]]:
    for name, room in rooms.items():
        for start in _starts(protocol.starts, seed, name, room, protocol.clips_per_video):
            yield name, start


def _starts(rule: StartRule, seed: int, name: str, room: int, count: int) -> list[int]:
    """`count` starts in 0 .. room."""
    if rule == "first":
        return [0] * count
    if rule == "even":
        return [round(room * number / (count - 1)) if count > 1 else 0 for number in range(count)]
    # A hash instead of a random generator, whose numbers may change with the library.
    order = sorted(range(room + 1), key=lambda start: hashlib.sha256(f"{seed}/{name}/{start}".encode()).digest())
    return [order[number % len(order)] for number in range(count)]
