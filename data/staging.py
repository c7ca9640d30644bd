"""Converts one raw video to records: encoded frames, or groups of pictures of the encoded video.

`i2v_jax.input.records` says what a record is; `data/shards.py` writes them.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from i2v_jax import files
from i2v_jax.data.raw import WHOLE, RawVideo
from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.input.records import write_example
from i2v_jax.media import frames, images, packets, videos
from i2v_jax.media.damage import DamagedVideo
from i2v_jax.media.reading import Frame, Reading, is_paged

FRAME_FORMATS = ("auto", *frames.FORMATS)
_MEMORY = 2**26  # bytes of one video's records before they go to a temporary file


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns an OSError of its context into a UserError of one line."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # that of ArrayRecord is a RuntimeError
        if files.is_disk_full(error):
            raise UserError(
                f"{folder}: the disk is full: free some space and run the same command again, which continues",
                "data_dir",
                str(folder),
            ) from error
        if not isinstance(error, OSError):
            raise
        raise UserError(f"{error.filename or folder}: {error.strerror or error}") from error


@dataclasses.dataclass(frozen=True)
class StoreOptions:
    """How videos are stored.

    JPEG and PNG files whose frames are stored at their size keep their bytes. `frame_format` says how all other frames
    are encoded: "jpeg" (without chroma subsampling), "png" or "webp" (both lossless), or "auto", which is PNG for what
    arrives lossless and JPEG for the rest.
    """

    store: str = "frames"  # or "video": the packets of the original file
    frame_format: str = "auto"
    jpeg_quality: int = 95
    max_size: int = 0  # maximum of the shorter side of stored frames in pixels; 0: no maximum
    min_frames: int = 17  # shorter videos are skipped
    every: int = 1  # stores every n-th frame
    fps: float = 0.0  # frames per second that video files are resampled to; 0: each frame once
    size: int = 0  # height and width to which stored frames are squeezed; 0: their own
    resize: str = "area"  # how frames are scaled, see `transforms.resize`

    def stored_size(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width that frames are stored with."""
        if self.size:
            return self.size, self.size
        return transforms.within(height, width, self.max_size) if self.max_size else (height, width)


@dataclasses.dataclass(frozen=True)
class StoredVideo:
    """What the index of a split holds about a video whose records are written."""

    name: str
    object: str
    num_frames: int
    records: int
    size: tuple[int, int]  # height and width
    labels: Mapping[str, list[float]]  # flat values
    encodings: list[str]  # that occur, in alphabetical order
    scaled: bool
    sha256: str  # of all records
    key: str  # what it was made from: see `key`
    notes: list[str]  # words that complete "3 videos ..."
    stream: Any = None  # of encoded videos
    content: str = ""  # digest of its frames or packets as they are stored, without its name; "": not known


class PartlyDamaged(UserError):
    """A part of a video cannot be used."""

    def __init__(self, message: str, intact: list[tuple[int, int]]) -> None:
        """`intact` has the ranges of frames that can be used, as (first, last + 1)."""
        super().__init__(message)
        self.intact = intact


def key(raw: RawVideo, options: StoreOptions) -> str:
    """Returns a digest of what the records of a video depend on."""
    identity = repr((raw.identity(), raw.object, options))
    return hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:24]


class Spool:
    """The records of one video until all of them are known to be good, in memory or in a temporary file."""

    def __init__(self, folder: Path) -> None:
        self._file: Any = tempfile.SpooledTemporaryFile(_MEMORY, dir=str(folder))  # noqa: SIM115, see __exit__
        self._digest, self._content = hashlib.sha256(), hashlib.sha256()
        self.count = 0

    def write(self, record: bytes, content: Iterable[bytes] = ()) -> None:
        """Adds a record; `content` is what it holds beside the name of its video."""
        for part in content:
            self._content.update(part)
        self._file.write(struct.pack("<Q", len(record)))
        self._file.write(record)
        self._digest.update(record)
        self.count += 1

    @property
    def sha256(self) -> str:
        """The digest of all records."""
        return self._digest.hexdigest()

    @property
    def content(self) -> str:
        """The digest of what the records hold beside the name of the video."""
        return self._content.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        """Yields the records."""
        self._file.seek(0)
        for _ in range(self.count):
            (length,) = struct.unpack("<Q", self._file.read(8))
            yield self._file.read(length)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def convert(
    raw: RawVideo,
    opened: RawVideo,
    options: StoreOptions,
    read_labels: Callable[[RawVideo], dict[str, Any]],
    spool: Spool,
) -> StoredVideo:
    """Writes the records of a video to `spool`; `opened` is what `opening.opened` gives for it.

    Raises:
        PartlyDamaged: parts of the video can be used, as videos of their own.
        UserError: the video cannot be used; the message is the reason.
        OSError: the disk is full.
    """
    try:
        write = _write_packets if options.store == "video" else _write_frames
        found = write(opened, options, spool)
    except DamagedVideo as error:
        raise _partly(opened, options) from error
    if found["num_frames"] < options.min_frames:
        raise UserError(f"{found['num_frames']} frames, fewer than {options.min_frames}")
    labels = {name: np.asarray(value, np.float32) for name, value in read_labels(opened).items()}
    flat = {name: (v[:: options.every] if v.ndim else v).ravel().tolist() for name, v in labels.items()}
    return StoredVideo(
        name=raw.name,
        object=raw.object or raw.name,
        records=spool.count,
        labels=flat,
        sha256=spool.sha256,
        content=hashlib.sha256(repr((spool.content, found.get("stream"))).encode()).hexdigest(),
        key=key(raw, options),
        **found,
    )


def _partly(raw: RawVideo, options: StoreOptions) -> UserError:
    """Returns the error for a damaged video, with the ranges of its frames that are intact."""
    intact, where = videos.intact_ranges(raw.path)
    if options.store == "video":
        return UserError(f"{where}: --store=frames stores the others", "store", "video")
    return PartlyDamaged(where, [(part.start, part.stop) for part in intact] if raw.part == WHOLE else [])


def _write_frames(raw: RawVideo, options: StoreOptions, spool: Spool) -> dict[str, Any]:
    size: tuple[int, int] | None = None
    encodings: set[str] = set()
    scaled, count = False, 0
    reading = Reading(raw.path, within=range(*raw.within) if raw.within else None, fps=options.fps)
    part = range(2**62)
    if raw.part != WHOLE:  # the number of frames is known only after all of them were read
        part = raw.frames(sum(1 for _ in reading))
    lossless = not _is_lossy_video(raw.path)
    for shown in itertools.islice(reading, part.start, part.stop, options.every):
        frame = _encoded(shown, options, lossless)
        if size is not None and frame.size != size:
            height, width = frame.size
            raise UserError(f"frame {count} has {width}x{height} pixels, the frames before it {size[1]}x{size[0]}")
        size, scaled = frame.size, scaled or frame.scaled
        encodings.add(frame.encoding)
        spool.write(write_example(raw.name, number=count, frame=frame.encoded), [frame.encoded])
        count += 1
    return {
        "num_frames": count,
        "size": size or (0, 0),
        "encodings": sorted(encodings),
        "scaled": scaled,
        "notes": sorted(reading.notes),
    }


def _is_lossy_video(path: Path) -> bool:
    return not path.is_dir() and not is_paged(path) and not videos.is_lossless(path)


@dataclasses.dataclass(frozen=True)
class _Frame:
    encoded: bytes
    encoding: str
    size: tuple[int, int]  # height and width
    scaled: bool = False


def _encoded(shown: Frame, options: StoreOptions, lossless: bool) -> _Frame:
    """Returns the bytes to store of a frame: those of its file if they can be kept."""
    fits = options.stored_size(*shown.pixels.shape[:2]) == shown.pixels.shape[:2]
    if fits and shown.file and (kept := frames.keep(shown.file, shown.pixels)):
        return _Frame(*kept, shown.pixels.shape[:2])
    return _encode(shown.pixels, options, lossless and not (shown.file and images.is_jpeg(shown.file)))


def _encode(frame: np.ndarray, options: StoreOptions, lossless: bool) -> _Frame:
    size = options.stored_size(*frame.shape[:2])
    if scaled := size != frame.shape[:2]:
        frame = transforms.resize(frame, *size, options.resize)
    arrived = "png" if lossless else "jpeg"
    chosen = arrived if options.frame_format == "auto" else options.frame_format
    return _Frame(*frames.encode(frame, chosen, options.jpeg_quality), frame.shape[:2], scaled)


def _write_packets(raw: RawVideo, options: StoreOptions, spool: Spool) -> dict[str, Any]:
    if raw.path.is_dir() or is_paged(raw.path):
        raise UserError("--store=video stores video files, but these are images: use --store=frames", "store", "video")
    video = videos.VideoFile(raw.path)
    table = packets.scan(video)
    part = raw.frames(len(table.frames))[:: options.every]
    if not part:
        return {"num_frames": 0, "size": (0, 0), "encodings": [], "scaled": False, "notes": []}
    chosen, groups = table.part(part)
    for number, group in enumerate(itertools.islice(packets.read_groups(raw.path), groups.start, groups.stop)):
        spool.write(write_example(raw.name, number=number, packets=group), group)
    return {
        "num_frames": len(part),
        "size": next(videos.iterate_frames(raw.path)).shape[:2],
        "notes": sorted(video.notes),
        "encodings": ["packets as they arrived"],
        "scaled": False,
        "stream": chosen.to_json(),
    }
