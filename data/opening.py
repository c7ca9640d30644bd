"""Opens raw videos that are inside of other files, for as long as they are converted."""

import contextlib
import dataclasses
import itertools
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

from i2v_jax import files
from i2v_jax.data.raw import Chunk, Inside, RawVideo
from i2v_jax.errors import UserError


def opened(videos: Iterable[RawVideo], scratch: Path) -> Generator[RawVideo | UserError]:
    """Yields each video with its `path` a video file or a folder of frames, or why it cannot be taken out of its file.

    Chunks of one recording that follow each other are cut out of it in one pass. What was taken out is removed before
    the next video is.

    Args:
        videos: to open.
        scratch: the folder for temporary files.

    Raises:
        OSError: the disk is full.
    """
    for recording, group in itertools.groupby(videos, lambda video: video.recording):
        same = list(group)
        yield from _cut_out(recording, same, scratch) if recording else _one_by_one(same, scratch)


def _one_by_one(videos: Iterable[RawVideo], scratch: Path) -> Generator[RawVideo | UserError]:
    for video in videos:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            assert not isinstance(video.inside, Chunk)
            try:
                path = _taken_out(video.inside, video.path, Path(folder))
            except UserError as error:
                yield error
            else:
                yield dataclasses.replace(video, path=path, inside=None)


def _cut_out(
    file: tuple[Path, Inside | None], videos: Sequence[RawVideo], scratch: Path
) -> Generator[RawVideo | UserError]:
    path, source = file
    with tempfile.TemporaryDirectory(dir=scratch) as whole, tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            recording = _taken_out(source, path, Path(whole))
        except UserError as error:
            yield from itertools.repeat(error, len(videos))
            return
        chunks = [video.inside for video in videos if isinstance(video.inside, Chunk)]
        for video, outcome in zip(videos, chunks[0].take_all_out(recording, chunks, Path(folder)), strict=True):
            yield outcome if isinstance(outcome, UserError) else dataclasses.replace(video, path=outcome, inside=None)


def _taken_out(inside: Inside | None, path: Path, folder: Path) -> Path:
    with reading():
        return inside.take_out(path, folder) if inside else path


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turns an OSError of its context into a UserError, unless the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in files.DISK_FULL:
            raise
        raise UserError(f"cannot be read: {error.strerror or error}") from error
