"""Writing videos and pictures as mp4, GIF and PNG.

All functions take frames as float in [-1, 1] or uint8 in [0, 255], channels last.
"""

import dataclasses
import fractions
import io
import os
from collections.abc import Mapping

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import ArrayLike
from PIL import GifImagePlugin, Image

from i2v_jax import files
from i2v_jax.files import PathLike
from i2v_jax.media.drawing import enlarge
from i2v_jax.pixels import to_uint8


@dataclasses.dataclass(frozen=True)
class _Encoder:
    """An encoder of FFmpeg, and its options for a quality at which little is lost."""

    name: str
    options: Mapping[str, str]
    smallest: int = 2  # side of a frame in pixels


_ENCODERS = {
    "h264": _Encoder("libx264", {"crf": "16", "preset": "medium"}),
    "vp9": _Encoder("libvpx-vp9", {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1"}),
    "av1": _Encoder("libsvtav1", {"crf": "22", "preset": "8"}, smallest=32),  # at 16x200 it hangs,
}
CODECS = tuple(_ENCODERS)
_SHORTEST = 2  # hundredths of a second of a GIF's frame; browsers show shorter ones for ten


def write_mp4(path: PathLike, video: ArrayLike, fps: float = 8, scale: int = 1, codec: str = "h264") -> None:
    """Writes `mp4_bytes`. Raises UserError if the file cannot be written."""
    files.write_bytes(path, mp4_bytes(video, fps, scale, codec))


def mp4_bytes(video: ArrayLike, fps: float = 8, scale: int = 1, codec: str = "h264") -> bytes:
    """Returns a video [T, H, W, 3] as mp4 for browsers (yuv420p, tagged BT.709).

    Odd sizes get one repeated row or column. `codec` is one of `CODECS`.
    """
    encoder = _ENCODERS[codec]
    frames = enlarge(video, scale)
    # Two pixels share one color sample in yuv420p, so both sizes must be even.
    height, width = (max(size + size % 2, encoder.smallest) for size in frames.shape[1:3])
    frames = np.pad(frames, [(0, 0), (0, height - frames.shape[1]), (0, width - frames.shape[2]), (0, 0)], mode="edge")
    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 prints its settings otherwise
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream(encoder.name, rate=fractions.Fraction(fps).limit_denominator(1000))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p"
        stream.options = dict(encoder.options)
        _tag(stream.codec_context)
        for frame in frames:
            container.mux(stream.encode(_in_bt709(frame)))
        container.mux(stream.encode())
    return buffer.getvalue()


def _tag(context: VideoCodecContext) -> None:
    """Says what `_in_bt709` does: untagged, players would guess the colors of a small video differently."""
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709


def _in_bt709(frame: np.ndarray) -> av.VideoFrame:
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def write_gif(path: PathLike, video: ArrayLike, fps: float = 8, scale: int = 1) -> None:
    """Writes `gif_bytes`. Raises UserError if the file cannot be written."""
    files.write_bytes(path, gif_bytes(video, fps, scale))


def gif_bytes(video: ArrayLike, fps: float = 8, scale: int = 1) -> bytes:
    """Returns a video [T, H, W, 3] as an endless GIF, dithered to one palette of 256 colors for the whole clip.

    The file has T frames, also of a video that stands still. Frames begin at multiples of 1 / fps, rounded to
    hundredths of a second, the unit of GIF files.
    """
    frames = to_uint8(video)
    montage = Image.fromarray(frames.reshape(-1, frames.shape[2], 3))
    palette = montage.quantize(256, method=Image.Quantize.MEDIANCUT)
    begins = np.rint(100 * np.arange(len(frames) + 1) / fps).astype(int)
    buffer = io.BytesIO()
    for index, frame in enumerate(enlarge(frames, scale)):
        picture = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        hundredths = max(_SHORTEST, int(begins[index + 1] - begins[index]))
        # Pillow's own way to save several pictures joins those that are equal.
        parts = GifImagePlugin.getheader(picture, info={"loop": 0})[0] if index == 0 else []
        parts += GifImagePlugin.getdata(picture, duration=10 * hundredths, disposal=1)
        buffer.write(b"".join(parts))
    buffer.write(b";")
    return buffer.getvalue()


def write_png(path: PathLike, image: ArrayLike, scale: int = 1) -> None:
    """Writes a picture [H, W, 3] as PNG. Raises UserError if the file cannot be written."""
    files.write_bytes(path, png_bytes(image, scale))


def png_bytes(image: ArrayLike, scale: int = 1) -> bytes:
    """Returns a picture [H, W, 3] as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(enlarge(image, scale)).save(buffer, "PNG")
    return buffer.getvalue()
