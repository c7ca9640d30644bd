"""`dtdb_clouds`, `dtdb_fire`, `dtdb_vegetation`, `dtdb_waterfall`: dynamic textures, one folder per texture."""

import csv
import functools
from pathlib import Path
from typing import Any, ClassVar

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError
from i2v_jax.input import images
from i2v_jax.metrics.motion import measure_direction

_DIRECTIONS = "directions.csv"
_MEASURED_FRAMES, _MEASURED_SIZE = 17, 128


class Texture(VideoBuilder, skip_registration=True):  # type: ignore[call-arg]
    """`<texture>/*.avi` (any video file or folder of frames), optionally with train/ and test/ below the texture."""

    FOLDER: ClassVar[str]

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        return raw.find_videos(raw_dir / cls.FOLDER)


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
    LABELS = ("direction",)

    @classmethod
    def read_labels(cls, video: raw.RawVideo) -> dict[str, Any]:
        known = _known_directions(video.root / _DIRECTIONS)
        if video.path.stem in known:
            return {"direction": known[video.path.stem]}
        clip = images.read_clip(video.path, _MEASURED_FRAMES, _MEASURED_SIZE, "center")
        return {"direction": measure_direction(clip)}


@functools.lru_cache
def _known_directions(path: Path) -> dict[str, float]:
    """Returns degrees by the name of the video without suffix; empty if there is no such file."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    try:
        return {Path(name).stem: float(degrees) for name, degrees in rows}
    except ValueError as error:
        raise UserError(f"{path}: every line must be VIDEO,DEGREES ({error})") from error
