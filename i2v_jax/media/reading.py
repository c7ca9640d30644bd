"""The frames of whatever holds a video: a video file, a folder of images, or one image file with several pages."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from i2v_jax.errors import UserError
from i2v_jax.media import images
from i2v_jax.media.paths import PAGED_SUFFIXES, check_file, frame_files, printable
from i2v_jax.media.timing import resampled, resampled_note
from i2v_jax.media.videos import VideoFile

_USUAL_SECONDS = 0.1  # that a page is shown which does not say, as browsers have it


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame as a player shows it."""

    pixels: np.ndarray  # uint8 [h, w, 3]
    file: Path | None = None  # the image file that it was read from


class Reading:
    """The frames of a video, in order, and what there is to tell about it.

    An image file with several pages (animated WebP and PNG, stacks of TIFF) is read like a video file. All frames of a
    video have one white: deep images (more than 8 bits, or floats) are read twice to find it.
    """

    def __init__(self, path: Path, *, within: range | None = None, fps: float = 0) -> None:
        """Arguments and errors are those of `media.videos.iterate_frames`; they have no effect on folders of images.

        Args:
            path: a video file, a folder of images, or an image file with several pages.
            within: the frames to read, of a video file that is damaged elsewhere.
            fps: frames per second to resample to; 0: each frame once.
        """
        self._path, self._fps = path, fps
        self._video = None if path.is_dir() or is_paged(path) else VideoFile(path, within=within, fps=fps)
        self._notes: set[str] = set()

    @property
    def notes(self) -> set[str]:
        """Words that complete "3 videos ...", after the last frame."""
        return self._notes | (self._video.notes if self._video else set())

    def __iter__(self) -> Iterator[Frame]:
        """Yields all frames."""
        return self.frames()

    def frames(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yields some of the frames, all by default. Raises UserError if one of them cannot be read."""
        if self._video:
            yield from itertools.islice((Frame(pixels) for pixels in self._video), start, stop, step)
        elif self._path.is_dir():
            files = frame_files(self._path)
            white = self._white(images.read_levels(file) for file in files)
            for file in files[start:stop:step]:
                yield Frame(images.read_rgb(file, white), file)
        else:
            yield from itertools.islice(self._pages(), start, stop, step)

    def _pages(self) -> Iterator[Frame]:
        white = self._white(levels for levels, _ in _pages(self._path))
        shown = ((images.shown(levels, white), seconds) for levels, seconds in _pages(self._path))
        for pixels, count in resampled(shown, self._fps) if self._fps else ((pixels, 1) for pixels, _ in shown):
            yield from itertools.repeat(Frame(pixels), count)
        if self._fps:
            self._notes.add(resampled_note(self._fps))

    def _white(self, every: Iterator[np.ndarray]) -> float | None:
        """Returns the white of a video whose first frame is deep, and notes it; None if it is not."""
        first = next(every, None)
        if first is None or not images.is_deep(first):
            return None
        deep = (levels for levels in itertools.chain([first], every) if images.is_deep(levels))
        white = images.white_level(max(images.largest_level(levels) for levels in deep), first.dtype)
        self._notes.add(f"deep, shown with {white:g} as white")
        return white


def is_paged(path: Path) -> bool:
    """Returns whether an image file has several pages that a player shows as a video."""
    if path.suffix.lower() not in PAGED_SUFFIXES or not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            return _has_pages(image)
    except Exception:  # of many types, also for long texts
        try:
            with images.opened(path.read_bytes(), printable(path)) as image:
                return _has_pages(image)
        except UserError:  # whoever reads it says what is wrong
            return False


def _has_pages(image: Image.Image) -> bool:
    if getattr(image, "n_frames", 1) < 2:
        return False
    size = image.size
    image.seek(1)
    return image.size == size  # otherwise it is a picture with a smaller copy of itself


def _pages(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Yields the pages of an image file, see `images.read_levels`, and how long each is shown, in seconds."""
    check_file(path)
    content = path.read_bytes()
    with images.opened(content, printable(path)) as image:
        first = int(
            getattr(image, "default_image", False)
        )  # of an animated PNG: what is shown if it cannot be animated
        for page in range(first, getattr(image, "n_frames", 1)):
            image.seek(page)
            levels = images.page_levels(image, content, page)
            yield levels, image.info.get("duration", 0) / 1000 or _USUAL_SECONDS
