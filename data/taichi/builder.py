"""`taichi`: Tai-Chi videos from the web, cropped to the person."""

import collections
import csv
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image

from i2v_jax.data import raw
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError
from i2v_jax.input import transforms
from i2v_jax.media import videos

METADATA = "taichi-metadata.csv"
_SIDE = 256  # pixels of a chunk's frames


class Taichi(VideoBuilder):
    """`{train,test}/<recording>#<first>#<last>`, or whole recordings and the authors' `taichi-metadata.csv`.

    Chunks of one recording stay in the same split when eval is held out.
    """

    EVAL_IS_TEST = ("release",)
    RELEASED_AS = "png"

    @classmethod
    def find(cls, raw_dir: Path) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
        """Returns the chunks. With `taichi-metadata.csv`, those that are not there are cut from the recordings."""
        found, skipped = raw.find_videos(raw_dir)
        chunks, recordings = {}, {}
        for video in found:
            *folders, file = video.name.split("/")
            name = file.removesuffix(".mp4")
            if "#" in name:
                split = next(filter(None, map(raw.split_of, folders)), video.split)
                recording = name.split("#")[0]
                chunks[name] = dataclasses.replace(
                    video, name=f"{split}/{name}", split=split, group=recording, object=recording
                )
            else:
                recordings[Path(file).stem] = video
        metadata = raw_dir / METADATA
        if not metadata.is_file():
            reason = f"a whole recording, which is cut by {METADATA}: put that into {raw_dir}"
            return list(chunks.values()), [*skipped, *(raw.Skipped(v.name, reason) for v in recordings.values())]
        missing: collections.Counter[str] = collections.Counter()
        for recording, name, split, cut in _listed(metadata):
            if name in chunks:
                continue
            if recording in recordings and not recordings[recording].inside:
                source = recordings[recording]
                chunks[name] = dataclasses.replace(
                    source, name=f"{split}/{name}", split=split, group=recording, object=recording, inside=cut
                )
            else:
                missing[recording] += 1
        skipped += [raw.Skipped(name, f"missing: {count} chunks of {METADATA}") for name, count in missing.items()]
        return list(chunks.values()), skipped


def _listed(path: Path) -> Iterator[tuple[str, str, str, "Cut"]]:
    """Yields the recording, the name, the split and the place of each chunk. Raises UserError for a malformed line."""
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                recording, split, cut = row["video_id"].split("#")[0], raw.split_of(row["partition"]), _cut(row)
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{path}: line {number} is not that of a chunk ({error})", METADATA, number) from error
            yield recording, f"{recording}#{cut.first:06d}#{cut.last:06d}", split, cut


def _cut(row: Mapping[str, str]) -> "Cut":
    left, top, right, bottom = (int(side) for side in row["bbox"].split("-"))
    width, height = int(row["width"]), int(row["height"])
    box = (left / width, top / height, right / width, bottom / height)
    return Cut(int(row["start"]), int(row["end"]), float(row["fps"]), box)


@dataclasses.dataclass(frozen=True)
class Cut:
    """A chunk inside a recording, see `raw.Inside`."""

    first: int  # frame of a recording of `rate` frames per second
    last: int  # exclusive
    rate: float
    box: tuple[float, float, float, float]  # left, top, right, bottom, as fractions of the frame's sides

    def take_out(self, path: Path, folder: Path) -> Path:
        """Writes the frames, cropped and scaled to 256x256, as `0000000.png` and so on."""
        rate, count = _frame_rate(path), 0
        for number, frame in enumerate(videos.iterate_frames(path)):
            if number * self.rate >= self.last * rate:
                break
            if number * self.rate >= self.first * rate:
                height, width = frame.shape[:2]
                left, top, right, bottom = self.box
                crop = frame[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
                if not crop.size:
                    raise UserError(f"its box is outside of the recording of {width}x{height} pixels")
                Image.fromarray(transforms.resize(crop, _SIDE, _SIDE)).save(
                    folder / f"{count:07d}.png", compress_level=1
                )
                count += 1
        if not count:
            raise UserError(f"the recording ends before frame {self.first} at {self.rate} frames per second")
        return folder


def _frame_rate(path: Path) -> float:
    with videos.opened(path) as (_, stream):
        if not stream.average_rate:
            raise UserError("the recording does not say how many frames it has per second")
        return float(stream.average_rate)
