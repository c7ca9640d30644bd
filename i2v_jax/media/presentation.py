"""How a player shows the frames of a stream: which way is up, and which colors are meant."""

import dataclasses
import threading

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream


@dataclasses.dataclass(frozen=True)
class Presentation:
    """What a player does to the decoded frames of a stream before it shows them.

    `dataclasses.asdict` gives numbers and texts alone, which JSON keeps.
    """

    quarter_turns: int = 0  # counterclockwise

    @classmethod
    def of(cls, stream: VideoStream, frame: av.VideoFrame) -> "Presentation":
        """Returns the presentation of a stream, from its description and its first frame."""
        del stream
        return cls(quarter_turns=round(frame.rotation / 90) % 4)


_thread = threading.local()


def present(frame: av.VideoFrame, presentation: Presentation, shrink: int = 1) -> np.ndarray:
    """Returns a decoded frame as a player shows it, RGB, uint8 [h / shrink, w / shrink, 3]."""
    width, height = frame.width // shrink, frame.height // shrink
    interpolation = "BILINEAR" if shrink == 1 else "AREA"
    pixels = _reformatter().reformat(frame, width, height, "rgb24", interpolation=interpolation).to_ndarray()
    return np.rot90(pixels, presentation.quarter_turns) if presentation.quarter_turns else pixels


def _reformatter() -> VideoReformatter:
    """Returns the reformatter of this thread: setting one up costs more than using it on a small frame."""
    if not hasattr(_thread, "reformatter"):
        _thread.reformatter = VideoReformatter()
    return _thread.reformatter
