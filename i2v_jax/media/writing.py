"""Writing videos and pictures as mp4, GIF and PNG.

All functions take frames as float in [-1, 1] or uint8 in [0, 255], channels last.
"""

import fractions
import io

import av
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from i2v_jax import files
from i2v_jax.files import PathLike
from i2v_jax.media.drawing import enlarge
from i2v_jax.pixels import to_uint8


def write_mp4(path: PathLike, video: ArrayLike, fps: float = 8, scale: int = 1) -> None:
    """Writes `mp4_bytes`. Raises UserError if the file cannot be written."""
    files.write_bytes(path, mp4_bytes(video, fps, scale))


def mp4_bytes(video: ArrayLike, fps: float = 8, scale: int = 1) -> bytes:
    """Returns a video [T, H, W, 3] as mp4 for browsers (H.264, yuv420p). Odd sizes get one repeated row or column."""
    frames = enlarge(video, scale)
    # Two pixels share one color sample in yuv420p, so both sizes must be even.
    frames = np.pad(frames, [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)], mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fractions.Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16", "preset": "medium"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def write_gif(path: PathLike, video: ArrayLike, fps: float = 8, scale: int = 1) -> None:
    """Writes `gif_bytes`. Raises UserError if the file cannot be written."""
    files.write_bytes(path, gif_bytes(video, fps, scale))


def gif_bytes(video: ArrayLike, fps: float = 8, scale: int = 1) -> bytes:
    """Returns a video [T, H, W, 3] as an endless GIF, dithered to one palette of 256 colors for the whole clip.

    Frame durations are rounded to hundredths of a second, the unit of GIF files.
    """
    frames = to_uint8(video)
    montage = Image.fromarray(frames.reshape(-1, frames.shape[2], 3))
    palette = montage.quantize(256, method=Image.Quantize.MEDIANCUT)
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        for frame in enlarge(frames, scale)
    ]
    buffer = io.BytesIO()
    duration = 10 * max(1, round(100 / fps))
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=duration, loop=0, disposal=1)
    return buffer.getvalue()


def write_png(path: PathLike, image: ArrayLike, scale: int = 1) -> None:
    """Writes a picture [H, W, 3] as PNG. Raises UserError if the file cannot be written."""
    files.write_bytes(path, png_bytes(image, scale))


def png_bytes(image: ArrayLike, scale: int = 1) -> bytes:
    """Returns a picture [H, W, 3] as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(enlarge(image, scale)).save(buffer, "PNG")
    return buffer.getvalue()
