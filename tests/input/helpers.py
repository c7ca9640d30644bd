"""Small videos and frames whose contents identify them, for the tests of input and data."""

from pathlib import Path

import av
import numpy as np
from PIL import Image


def numbered_frames(count: int, height: int = 48, width: int = 64, offset: int = 0) -> np.ndarray:
    """Returns uint8 [count, height, width, 3]; frame i is gray with the value 6 (i + offset)."""
    values = (6 * (np.arange(count) + offset)).astype(np.uint8)
    return np.broadcast_to(values[:, None, None, None], (count, height, width, 3)).copy()


def frame_numbers(frames: np.ndarray) -> list[int]:
    """Returns the numbers of decoded frames of `numbered_frames`, uint8 [T, h, w, 3]."""
    return np.rint(frames.mean((1, 2, 3)) / 6).astype(int).tolist()


def write_video(path: Path, frames: np.ndarray, key_every: int = 8, codec: str = "") -> Path:
    """Encodes frames; the container and, by default, the codec follow from the suffix."""
    usual = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".webm": "libvpx-vp9"}
    codec = codec or usual[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"crf": "10"} | (
            {"g": str(key_every)} if codec != "libvpx-vp9" else {"cpu-used": "8", "g": str(key_every)}
        )
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = (
            *frames.shape[1:3],
            "bgr0" if codec == "ffv1" else "yuv420p",
        )
        stream.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_gif(path: Path, frames: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=40)
    return path


def write_frames(folder: Path, frames: np.ndarray, first: int = 0, suffix: str = ".png") -> Path:
    """Writes frames as images, numbered from `first` without leading zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / f"frame{number}{suffix}")
    return folder


def flow_of(amplitudes: np.ndarray) -> np.ndarray:
    """Returns a flow to the right with the given lengths."""
    return np.stack([amplitudes, np.zeros_like(amplitudes)], axis=-1).astype(np.float32)
