"""Finding videos in a user's folders, and assigning them to splits."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from i2v_jax.data import archives
from i2v_jax.errors import UserError
from i2v_jax.input.sources import SPLITS
from i2v_jax.media import folders
from i2v_jax.media.paths import frame_files, natural_key, printable

WHOLE = (0.0, 1.0)
_SPLIT_FOLDERS = {
    "train": "train",
    "eval": "eval",
    "val": "eval",
    "valid": "eval",
    "validation": "eval",
    "test": "test",
}
_SIDE_FILES = (".txt", ".csv", ".json", ".md", ".xml", ".yaml", ".pkl")


class Inside(Protocol):
    """Where a video is inside a file that holds more than it: a member of an archive, records, a part of a picture.

    Implementations are picklable and have a `repr` that tells their videos apart.
    """

    def take_out(self, path: Path, folder: Path) -> Path:
        """Writes the video into a folder.

        Args:
            path: the file that holds the video.
            folder: an empty folder.

        Returns:
            a video file in it, or a folder whose images are the frames, with the files of its labels.

        Raises:
            UserError: the video cannot be read; the message is the reason.
        """


@runtime_checkable
class Chunk(Protocol):
    """Where a video is inside a long recording, which is decoded once for all of its chunks; else as `Inside`."""

    @property
    def source(self) -> Inside | None:
        """Where in its file the recording is; None: the file is the recording."""

    @staticmethod
    def take_all_out(recording: Path, chunks: Sequence[Any], folder: Path) -> Iterator[Path | UserError]:
        """Writes chunks of a recording into a folder, in the order of their beginnings.

        Args:
            recording: a video file.
            chunks: objects of this class.
            folder: an empty folder.

        Yields:
            a folder whose images are the frames of a chunk, which is removed before the next one, or why it has none.
        """


@dataclasses.dataclass(frozen=True)
class RawVideo:
    """A video before preparation, or a part of one."""

    name: str  # unique: the path below the raw folder; parts of a video append something
    path: Path  # a video file, a folder whose images are the frames, or the file that the video is inside of
    split: str = "train"  # the split of the authors; `divide` may hold out some videos of "train"
    group: str = ""  # videos of a group are never in different splits; empty: the video is a group
    object: str = ""  # the object that it shows, if several videos show it; empty: its own
    part: tuple[float, float] = WHOLE  # begin and end, as fractions of the frames
    within: tuple[int, int] | None = None  # intact frames to read of a damaged file, (first, last + 1); None: all
    inside: Inside | Chunk | None = None  # where in the file `path` the video is; None: `path` is the video
    root: Path = Path()  # the folder of the raw files

    @property
    def recording(self) -> tuple[Path, Inside | None] | None:
        """What the video is a chunk of, if it is one: what is read once for several videos."""
        return (self.path, self.inside.source) if isinstance(self.inside, Chunk) else None

    def identity(self) -> str:
        """Returns a text that changes when the raw files of the video do."""
        files = frame_files(self.path) if self.path.is_dir() else [self.path]
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return repr((self.name, self.part, self.within, self.inside, stats))

    def intact_parts(self, ranges: Iterable[Sequence[int]]) -> list["RawVideo"]:
        """Returns videos of the intact ranges of frames of this video, whose file is damaged elsewhere.

        They are never in different splits.
        """
        return [
            dataclasses.replace(
                self,
                name=f"{self.name}#{begin}-{end - 1}",
                group=self.group or self.name,
                object=self.object or self.name,
                within=(begin, end),
            )
            for begin, end in ranges
        ]

    def frames(self, total: int) -> range:
        """Returns the frames of the part, if the whole video has `total` frames."""
        return range(*(int(share * total) for share in self.part))


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that was skipped, and why."""

    path: str
    reason: str


def find_videos(root: Path) -> tuple[list[RawVideo], list[Skipped]]:
    """Returns all video files and all folders of images below `root` in natural order, and the files it skipped.

    An archive counts as a folder of its name. The split of a video is the name of its top folder, or of its top folder
    in the archive, if that is train, eval (val, valid, validation) or test.

    Raises:
        UserError: `root` is not a folder.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: give --raw_dir an existing folder", "raw_dir", str(root))
    found = folders.find(root)
    videos = [
        RawVideo(name, path, split_of(name.split("/")[0]) or "train", root=root) for name, path in found.videos.items()
    ]
    skipped = [Skipped(name, reason) for name, reason in found.left_out.items()]
    for name, path in found.others.items():
        if archives.stem(path):
            inside, refused = _in_archive(path, root)
            videos += inside
            skipped += refused
        elif first := archives.whole(path):
            if not first.is_file():
                skipped.append(Skipped(name, f"a part of {first.name}, which is missing"))
        elif path.suffix.lower() not in _SIDE_FILES:
            skipped.append(Skipped(name, f"not a video or an image ({path.suffix or 'no suffix'})"))
    return sorted(videos, key=lambda video: [natural_key(part) for part in video.name.split("/")]), skipped


def split_of(folder: str) -> str:
    """Returns the split that a folder has the name of; empty if it is none."""
    return _SPLIT_FOLDERS.get(folder.lower(), "")


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A file, or one inside an uncompressed tar file: `size` bytes of `path` from `begin`."""

    name: str  # the path below the raw folder
    path: Path
    begin: int
    size: int


def find_files(root: Path, suffix: str) -> list[RawFile]:
    """Returns all files of a suffix below `root` in natural order, also those in uncompressed tar files.

    Of tar files that cannot be read it returns none; `find_videos` tells them.
    """
    found = []
    for name, path in folders.files(root).items():
        if path.suffix.lower() == suffix:
            found.append(RawFile(name, path, 0, path.stat().st_size))
        elif path.suffix.lower() == ".tar":
            with contextlib.suppress(UserError):
                found += [
                    RawFile(f"{name.removesuffix('.tar')}/{inner}", path, extent.begin, extent.size)
                    for inner, extent in archives.extents(path).items()
                    if inner.endswith(suffix)
                ]
    return sorted(found, key=lambda file: natural_key(file.name))


def _in_archive(path: Path, root: Path) -> tuple[list[RawVideo], list[Skipped]]:
    """Returns the videos of an archive, and the files in it that are not videos."""
    name = printable(path.relative_to(root).as_posix())
    try:
        videos, others, no_frames = archives.videos_in(path)
        problem = archives.opened(path).problem
    except UserError as error:
        return [], [Skipped(name, str(error))]
    folder = printable(path.with_name(archives.stem(path)).relative_to(root).as_posix())
    found = []
    for inner, member in videos.items():
        split = split_of(folder.split("/")[0]) or split_of(inner.split("/")[0]) or "train"
        found.append(RawVideo(_joined(folder, inner), path, split, inside=member, root=root))
    skipped = [Skipped(_joined(name, inner), reason) for inner, reason in no_frames.items()]
    skipped += [
        Skipped(_joined(name, other), f"not a video or an image ({Path(other).suffix or 'no suffix'})")
        for other in others
        if Path(other).suffix.lower() not in _SIDE_FILES
    ]
    return found, [*([Skipped(name, problem)] if problem else []), *skipped]


def _joined(archive: str, inner: str) -> str:
    return archive if inner == "." else f"{archive}/{printable(inner).lstrip('/')}"


def without_duplicates(videos: Iterable[RawVideo]) -> tuple[list[RawVideo], list[Skipped]]:
    """Returns the first video of each name, and the others."""
    first: dict[str, RawVideo] = {}
    duplicates = []
    for video in videos:
        if first.setdefault(video.name, video) is not video:
            duplicates.append(Skipped(video.name, f"twice: {video.path}, but {first[video.name].path} is taken"))
    return list(first.values()), duplicates


def divide(
    videos: Iterable[RawVideo], eval_fraction: float, test_fraction: float, seed: int, eval_is_test: bool = False
) -> dict[str, list[RawVideo]]:
    """Divides videos into splits. The authors' splits are kept, and a missing eval or test split is held out of train.

    Whole groups are held out: at least one, as long as one remains. The choice depends only on the names and the seed.
    With `eval_is_test`, if the authors have one of the splits eval and test, it is both.
    """
    splits: dict[str, list[RawVideo]] = {split: [] for split in SPLITS}
    for video in videos:
        splits[video.split].append(video)
    if eval_is_test and (shared := splits["eval"] or splits["test"]):
        splits["eval"], splits["test"] = splits["eval"] or shared, splits["test"] or shared
    rng = np.random.default_rng(seed)
    groups = sorted({video.group or video.name for video in splits["train"]}, key=natural_key)
    order = [groups[i] for i in rng.permutation(len(groups))]
    total = len(order)
    for split, fraction in (("eval", eval_fraction), ("test", test_fraction)):
        if splits[split] or fraction <= 0:
            continue
        count = min(max(1, round(fraction * total)), len(order) - 1)
        held_out, order = set(order[:count]), order[count:]
        splits[split] = [v for v in splits["train"] if (v.group or v.name) in held_out]
        splits["train"] = [v for v in splits["train"] if (v.group or v.name) not in held_out]
    return {split: chosen for split, chosen in splits.items() if chosen}
