"""`dtdb_clouds`, `dtdb_fire`, `dtdb_vegetation`, `dtdb_waterfall`: dynamic textures; `dtdb`: all of them as classes."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, ClassVar

from i2v_jax.data import lists, raw
from i2v_jax.data.video_builder import EVERY_PRESET, VideoBuilder
from i2v_jax.errors import UserError
from i2v_jax.input import images
from i2v_jax.metrics.motion import measure_direction

_DIRECTIONS = "directions.csv"
_MEASURED_FRAMES, _MEASURED_SIZE = 17, 128


class Texture(VideoBuilder):
    """Videos or folders of frames in a folder of the texture's name, optionally with train/ and eval/ in it."""

    FOLDER: ClassVar[str]
    EVAL_IS_TEST = EVERY_PRESET

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        found, skipped = raw.find_videos(raw_dir)
        videos = []
        for video in found:
            *folders, file = video.name.split("/")
            if cls.FOLDER in folders:
                name = "/".join([*folders[folders.index(cls.FOLDER) + 1 :], file])
                split = raw.split_of(name.split("/")[0]) or "train"
                videos.append(dataclasses.replace(video, name=name, split=split))
        return videos, [item for item in skipped if cls.FOLDER in item.path.split("/")]


class DtdbFire(Texture):
    """Flames."""

    FOLDER = "fire"


class DtdbVegetation(Texture):
    """Plants in the wind."""

    FOLDER = "vegetation"


class DtdbWaterfall(Texture):
    """Falling water."""

    FOLDER = "waterfall"


class DtdbClouds(Texture):
    """Clouds, with their direction: from `directions.csv` (name, degrees) in the texture's folder, else measured."""

    FOLDER = "clouds"
    RELEASED_AS = "png"
    LABELS = ("direction",)

    @classmethod
    def read_labels(cls, video: raw.RawVideo) -> dict[str, Any]:
        known = _known_directions(video.root / cls.FOLDER / _DIRECTIONS)
        name = Path(video.name).stem
        if name in known:
            return {"direction": known[name]}
        clip = images.read_clip(video.path, _MEASURED_FRAMES, _MEASURED_SIZE, "center")
        return {"direction": measure_direction(clip)}


@functools.lru_cache
def _known_directions(path: Path) -> dict[str, float]:
    """Returns degrees by the name of the video without suffix; empty if there is no such file."""
    if not path.is_file():
        return {}
    rows = lists.rows(path)
    try:
        return {Path(name).stem: float(degrees) for name, degrees in rows}
    except ValueError as error:
        raise UserError(f"{path}: every line must be VIDEO,DEGREES ({error})") from error


class Dtdb(VideoBuilder):
    """`<class>/<video>` for the classifier of DTFVD, with train/ and test/ above or below the classes, or without."""

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        """Returns the videos under the name `<class>/<video>`: what reads the classes takes them from the names."""
        found, skipped = raw.find_videos(raw_dir)
        videos = []
        for video in found:
            parts = video.name.split("/")
            splits = [raw.split_of(part) for part in parts[:-1]]
            name = [part for part, split in zip(parts, [*splits, ""], strict=True) if not split]
            split = next(filter(None, splits), "train")
            videos.append(dataclasses.replace(video, name="/".join(name[-2:]), split=split))
        return videos, skipped
