"""Cuts the chunks of a recording out of it, in one pass over its frames."""

import contextlib
import dataclasses
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from i2v_jax.data import raw
from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.media import videos

_SIDE = 256  # pixels of a chunk's frames


@dataclasses.dataclass(frozen=True)
class Cut:
    """A chunk inside a recording, see `raw.Chunk`."""

    first: int  # frame of a recording of `rate` frames per second
    last: int  # exclusive
    rate: float
    box: tuple[float, float, float, float]  # left, top, right, bottom, as fractions of the frame's sides
    source: raw.Inside | None = dataclasses.field(default=None, repr=False)  # the recording, inside its file

    @staticmethod
    def take_all_out(recording: Path, chunks: Sequence["Cut"], folder: Path) -> Generator[Path | UserError]:
        """Decodes the recording once and yields the chunks, cropped and scaled to 256x256, see `raw.Chunk`.

        On the disk are the frames of the one that is yielded, and what was decoded of those that overlap with it.
        """
        cutting = [_Cutting(cut, folder / str(number)) for number, cut in enumerate(chunks)]
        problem: UserError | None = None
        with contextlib.closing(_frames(recording)) as frames:
            for place, chunk in enumerate(cutting):
                try:
                    while not (problem or chunk.is_over) and (frame := next(frames, None)):
                        for unfinished in cutting[place:]:
                            unfinished.show(*frame)
                except UserError as error:
                    problem = error
                yield problem if problem and not chunk.is_over else chunk.outcome()
                shutil.rmtree(chunk.folder, ignore_errors=True)


def _frames(path: Path) -> Generator[tuple[int, float, np.ndarray]]:
    """Yields the number of each frame of a recording, the frames per second, and the frame."""
    with videos.opened(path) as (_, stream):
        if not stream.average_rate:
            raise UserError("the recording does not say how many frames it has per second")
        rate = float(stream.average_rate)
    for number, frame in enumerate(videos.iterate_frames(path)):
        yield number, rate, frame


class _Cutting:
    """A chunk whose frames are written as they are decoded."""

    def __init__(self, cut: Cut, folder: Path) -> None:
        self.folder, self.is_over = folder, False
        self._cut, self._count = cut, 0
        self._problem: UserError | None = None

    def show(self, number: int, rate: float, frame: np.ndarray) -> None:
        """Writes a frame of the recording if it is one of the chunk."""
        at = number * self._cut.rate
        self.is_over = at >= self._cut.last * rate
        if self.is_over or at < self._cut.first * rate or self._problem:
            return
        height, width = frame.shape[:2]
        left, top, right, bottom = self._cut.box
        crop = frame[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
        if not crop.size:
            self._problem = UserError(f"its box is outside of the recording of {width}x{height} pixels")
            return
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"{self._count:07d}.png"
        Image.fromarray(transforms.resize(crop, _SIDE, _SIDE)).save(file, compress_level=1)
        self._count += 1

    def outcome(self) -> Path | UserError:
        """Returns the folder of the frames, or why there are none."""
        if self._count:
            return self.folder
        cut = self._cut
        return self._problem or UserError(
            f"the recording ends before frame {cut.first} at {cut.rate} frames per second"
        )
