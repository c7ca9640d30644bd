"""How a player shows the frames of a stream: which way is up, how wide a pixel is, and which colors are meant.

A `Presentation` is decided once per stream, from its tags and, where there are none, from its size. `present` applies
it to a decoded frame.
"""

import dataclasses
import threading
from collections.abc import Iterable
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from i2v_jax.media import color

# Values of the tags of streams, as numbered in ISO/IEC 23091-2.
_RGB, _BT709, _FCC, _BT470BG, _BT601, _SMPTE240, _BT2020, _BT2020_CONSTANT = 0, 1, 4, 5, 6, 7, 9, 10
_MATRICES = (_RGB, _BT709, _FCC, _BT470BG, _BT601, _SMPTE240, _BT2020)
_PRIMARIES = {9: "bt2020", 11: "p3", 12: "p3"}
_TRANSFERS = {16: "pq", 18: "hlg"}
_GRAY = ("gray", "ya", "mono")  # beginnings of the names of pixel formats
_NARROWEST, _WIDEST = 1 / 8, 8.0  # pixel aspects outside of it are errors of whoever wrote the file


@dataclasses.dataclass(frozen=True)
class Presentation:
    """What a player does to the decoded frames of a stream before it shows them.

    `dataclasses.asdict` gives numbers and texts alone, which JSON keeps.
    """

    transposed: bool = False  # rows become columns; flips follow
    flip_x: bool = False
    flip_y: bool = False
    aspect: float = 1.0  # width of a pixel over its height, before transposing
    matrix: int = _BT601  # from luma and chroma to RGB, as numbered in ISO/IEC 23091-2
    full_range: bool = False
    transfer: str = "sdr"  # or "hlg" or "pq"
    primaries: str = "bt709"  # or "bt2020" or "p3"
    alpha: bool = False
    interlaced: bool = False

    @classmethod
    def of(cls, stream: VideoStream, frame: av.VideoFrame, tagged: av.VideoFrame | None = None) -> "Presentation":
        """Returns the presentation of a stream, from its description and its first decoded frame.

        A frame of another decoder than the stream's own lacks the tags of the container: `tagged` is one that has them.
        """
        transposed, flip_x, flip_y = _orientation(tagged or frame)
        aspect = float(stream.sample_aspect_ratio or 1)
        return cls(
            transposed=transposed,
            flip_x=flip_x,
            flip_y=flip_y,
            aspect=aspect if _NARROWEST <= aspect <= _WIDEST else 1.0,
            matrix=_matrix(frame),
            full_range=_is_full_range(frame),
            transfer=_TRANSFERS.get(frame.color_trc, "sdr"),
            primaries=_PRIMARIES.get(frame.color_primaries, "bt709"),
            alpha=any(component.is_alpha for component in frame.format.components),
            interlaced=frame.interlaced_frame,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell the user: words that complete "3 videos ..."."""
        mirrored = self.transposed ^ self.flip_x ^ self.flip_y
        turned = self.transposed or (self.flip_x and self.flip_y)
        words = {
            "mirrored as tagged": mirrored,
            "turned upright as tagged": turned and not mirrored,
            "stretched by the aspect of their pixels": self.aspect != 1,
            "HDR tone-mapped": self.transfer != "sdr",
            "converted from wide-gamut colors": self.transfer == "sdr" and self.primaries != "bt709",
            "interlaced, taken as they are": self.interlaced,
        }
        return tuple(word for word, applies in words.items() if applies)


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Returns (transposed, flip_x, flip_y) of the display matrix: x' = a x + c y, y' = b x + d y, in quarter turns."""
    found = [item for item in cast(Iterable[SideData], frame.side_data) if item.type == Type.DISPLAYMATRIX]
    if not found:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(found[0]), np.int32)[:5].tolist()
    if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _matrix(frame: av.VideoFrame) -> int:
    """Returns the matrix of the tags, or where there is none, what players guess from other tags and from the size."""
    is_rgb = frame.format.is_rgb or frame.format.has_palette
    if frame.colorspace in _MATRICES and (frame.colorspace != _RGB or is_rgb):
        return frame.colorspace
    if frame.colorspace == _BT2020_CONSTANT or frame.color_trc in _TRANSFERS or frame.color_primaries == _BT2020:
        return _BT2020
    return _BT709 if frame.height >= 720 or frame.width >= 1280 else _BT601


def _is_full_range(frame: av.VideoFrame) -> bool:
    """Returns whether the values of a frame use all bits: as tagged; without a tag, those of RGB and gray do."""
    if frame.format.name.startswith("yuvj") or frame.color_range != ColorRange.UNSPECIFIED:
        return frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    return frame.format.is_rgb or frame.format.has_palette or frame.format.name.startswith(_GRAY)


_thread = threading.local()


def present(frame: av.VideoFrame, presentation: Presentation) -> np.ndarray:
    """Returns a decoded frame as a player shows it, RGB, uint8 [h, w, 3].

    Frames of one thread share a reformatter, since setting one up costs more than using it on a small frame.
    """
    light = presentation.transfer != "sdr" or presentation.primaries != "bt709"
    form = ("rgba64le" if light else "rgba") if presentation.alpha else ("rgb48le" if light else "rgb24")
    if not hasattr(_thread, "reformatter"):
        _thread.reformatter = VideoReformatter()
    pixels = _thread.reformatter.reformat(
        frame,
        max(1, round(frame.width * presentation.aspect)),
        frame.height,
        form,
        src_colorspace=presentation.matrix,
        src_color_range=ColorRange.JPEG if presentation.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation="BILINEAR",
        threads=1,
    ).to_ndarray()
    if presentation.alpha:
        pixels = color.on_white(pixels)
    if light:
        pixels = color.to_srgb(pixels, presentation.transfer, presentation.primaries)
    if presentation.transposed:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if presentation.flip_y else 1, :: -1 if presentation.flip_x else 1])


def is_transparent(frame: av.VideoFrame) -> bool:
    """Returns whether any pixel of a frame with an alpha channel is transparent."""
    return bool(frame.reformat(format="rgba").to_ndarray()[..., 3].min() < 255)
