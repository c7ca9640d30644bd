"""Encodes videos as files."""

import dataclasses
import io
import math
from collections.abc import Sequence

import numpy as np

from i2v_jax import media
from i2v_jax.errors import UserError

CONTENT_TYPES = {
    "mp4": "video/mp4",
    "gif": "image/gif",
    "strip": "image/png",
    "npz": "application/x-npz",
}
MAX_SCALE = 16
MAX_PIXELS = 100_000_000  # of all frames of a file together


@dataclasses.dataclass(frozen=True)
class Mark:
    """A poke to draw: its arrow in frame `first`, the ring around its target from there until the next mark."""

    first: int
    position: np.ndarray  # [2], in pixels before enlarging
    displacement: np.ndarray  # [2]
    impulse: bool = False  # see `media.poked`


@dataclasses.dataclass(frozen=True)
class Clip:
    """A video and the pokes to draw on it."""

    frames: np.ndarray  # [T, H, W, 3]
    marks: tuple[Mark, ...] = ()  # in the order of their frames

    def drawn(self, scale: int) -> media.Pixels:
        """Returns the video enlarged `scale` times, with its marks."""
        video = media.enlarge(self.frames, scale)
        ends = [mark.first for mark in self.marks[1:]] + [len(video)]
        for mark, end in zip(self.marks, ends, strict=False):
            if mark.first < end:
                part = video[mark.first : end]
                part[:] = media.poked(part, scale, mark.position, mark.displacement, impulse=mark.impulse)
        return video


def enlargement(pixels: int, height: int, form: str, scale: int = 0) -> int:
    """Returns the factor by which a file enlarges frames.

    Args:
        pixels: of all frames together.
        height: of a frame, in pixels.
        form: see `encode`.
        scale: see `encode`.

    Raises:
        UserError: the file would have more than `MAX_PIXELS`.
    """
    chosen = 1 if form == "npz" else scale or media.usual_scale(height)
    if pixels * chosen**2 > MAX_PIXELS:
        raise UserError(
            f"{pixels * chosen**2 / 1e6:.0f} million pixels (scale={chosen}) are too many for a file (must be at most "
            f"{MAX_PIXELS / 1e6:.0f} million): give a smaller scale, or fewer frames",
            "scale",
            chosen,
        )
    return chosen


def encode(clips: Sequence[Clip], form: str, fps: float, scale: int = 0) -> bytes:
    """Returns clips of one size and length as one file.

    Args:
        clips: several clips are shown in a grid.
        form: "mp4", "gif", "strip" (a PNG of eight frames for each clip), or "npz" (`video` float32 or uint8
            [N, T, H, W, 3], without marks).
        fps: frames per second.
        scale: enlargement; 0 enlarges to about 256 pixels.

    Raises:
        UserError: the file would have more than `MAX_PIXELS`.
    """
    pixels = sum(clip.frames.size // 3 for clip in clips)
    scale = enlargement(pixels, clips[0].frames.shape[1], form, scale)
    if form == "npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, video=np.stack([clip.frames for clip in clips]), fps=np.float32(fps))
        return buffer.getvalue()
    if form == "strip":
        return media.png_bytes(np.concatenate([media.stills(clip.drawn, scale) for clip in clips]))
    drawn = [clip.drawn(scale) for clip in clips]
    whole = drawn[0] if len(drawn) == 1 else media.grid(np.stack(drawn), columns=math.ceil(math.sqrt(len(drawn))))
    return media.mp4_bytes(whole, fps) if form == "mp4" else media.gif_bytes(whole, fps)
