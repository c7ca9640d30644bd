"""Converts one raw video to one staged file: encoded frames, or the encoded video and the positions of its frames.

A staged file has its final name only when it is complete, so a run that is killed loses at most the videos that it was
converting. The name is a digest of the raw files and the options, so a changed video or option is staged again.
"""

import contextlib
import dataclasses
import errno
import hashlib
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from i2v_jax import files
from i2v_jax.data.raw import WHOLE, RawVideo
from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.media import images, paths, videos

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns an OSError of its context into a UserError of one line."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise UserError(
                f"{folder}: the disk is full: free some space and run the same command again, which continues",
                "data_dir",
                str(folder),
            ) from error
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from error


@dataclasses.dataclass(frozen=True)
class StoreOptions:
    """How videos are stored."""

    store: str  # "frames": as JPEG; "video": the original file
    jpeg_quality: int
    max_size: int  # maximum of the shorter side of stored frames in pixels; 0: no maximum
    min_frames: int  # shorter videos are skipped
    every: int = 1  # stores every n-th frame


@dataclasses.dataclass(frozen=True)
class StagedVideo:
    """A video that is ready to be written as a record."""

    raw: RawVideo
    path: Path
    num_frames: int
    labels: frozenset[str]  # that it has

    def example(self) -> dict[str, Any]:
        """Returns the features of `video_builder`."""
        with zipfile.ZipFile(self.path) as archive:
            example = json.loads(archive.read("meta.json"))
            example["labels"] = {key: np.asarray(value, np.float32) for key, value in example["labels"].items()}
            if example["stored_as"] == "video":
                example["video"] = archive.read("video")
            else:
                example["frames"] = [archive.read(f"{i:08d}.jpg") for i in range(self.num_frames)]
        return example


def stage(
    raw: RawVideo, options: StoreOptions, read_labels: Callable[[RawVideo], dict[str, Any]], folder: Path
) -> StagedVideo:
    """Stages a video, unless an earlier run did.

    Raises:
        UserError: the video cannot be used; the message is the reason, without the name of the video.
        OSError: the disk is full.
    """
    path = folder / f"{_digest(raw, options)}.zip"
    if not path.exists():
        with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            write = _write_encoded if options.store == "video" else _write_frames
            with raw.opened(folder) as opened:
                meta = write(archive, opened, options)
                if meta["num_frames"] < options.min_frames:
                    raise UserError(f"{meta['num_frames']} frames, fewer than {options.min_frames}")
                meta |= {"name": raw.name, "stored_as": options.store, "labels": read_labels(opened)}
            archive.writestr("meta.json", json.dumps(meta))
    with zipfile.ZipFile(path) as archive:
        meta = json.loads(archive.read("meta.json"))
        return StagedVideo(raw, path, meta["num_frames"], frozenset(meta["labels"]))


def _digest(raw: RawVideo, options: StoreOptions) -> str:
    return hashlib.sha256((raw.identity() + repr(options)).encode()).hexdigest()[:24]


def _write_encoded(archive: zipfile.ZipFile, raw: RawVideo, options: StoreOptions) -> dict[str, Any]:
    path = raw.path
    if raw.part != WHOLE:
        raise UserError(
            "--store=video stores whole files, but this is a part of a video: use --store=frames", "store", "video"
        )
    if path.suffix.lower() not in paths.SEEKABLE_SUFFIXES:
        suffixes = ", ".join(paths.SEEKABLE_SUFFIXES)
        raise UserError(f"--store=video stores only {suffixes} files: use --store=frames", "store", "video")
    table = videos.scan_frames(path)
    archive.write(path, "video")
    first = next(videos.iterate_frames(path), None)
    size = [0, 0] if first is None else list(first.shape[:2])
    return {
        "num_frames": len(table.times),
        "size": size,
        "times": table.times.tolist(),
        "keyframes": table.keyframes.tolist(),
    }


def _write_frames(archive: zipfile.ZipFile, raw: RawVideo, options: StoreOptions) -> dict[str, Any]:
    size: tuple[int, int] | None = None
    count = 0
    for encoded, shape in _encoded_frames(raw, options):
        if size is not None and shape != size:
            raise UserError(f"frame {count} has {shape[1]}x{shape[0]} pixels, the frames before it {size[1]}x{size[0]}")
        size = shape
        archive.writestr(f"{count:08d}.jpg", encoded)
        count += 1
    return {"num_frames": count, "size": list(size or (0, 0))}


def _encoded_frames(raw: RawVideo, options: StoreOptions) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yields each frame as JPEG bytes with its (height, width)."""
    if raw.path.is_dir():
        files = paths.frame_files(raw.path)
        part = raw.frames(len(files))
        for file in files[part.start : part.stop : options.every]:
            frame = images.read_rgb(file)
            fits = options.max_size == 0 or min(frame.shape[:2]) <= options.max_size
            if fits and images.is_plain_jpeg(file):
                yield file.read_bytes(), frame.shape[:2]
            else:
                yield _encode(frame, options)
    else:
        start, stop = 0, None
        if raw.part != WHOLE:  # the number of frames is known only after decoding
            part = raw.frames(len(videos.scan_frames(raw.path).times))
            start, stop = part.start, part.stop
        for frame in itertools.islice(videos.iterate_frames(raw.path), start, stop, options.every):
            yield _encode(frame, options)


def _encode(frame: np.ndarray, options: StoreOptions) -> tuple[bytes, tuple[int, int]]:
    shorter = min(frame.shape[:2])
    if 0 < options.max_size < shorter:
        height, width = (max(1, round(side * options.max_size / shorter)) for side in frame.shape[:2])
        frame = transforms.resize(frame, height, width)
    done, encoded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, options.jpeg_quality])
    if not done:
        raise UserError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels cannot be stored as JPEG")
    return encoded.tobytes(), frame.shape[:2]
