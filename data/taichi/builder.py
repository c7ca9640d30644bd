"""`taichi`: Tai-Chi videos from the web, cropped to the person."""

import collections
import csv
import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from i2v_jax.data import raw
from i2v_jax.data.taichi.recordings import Cut
from i2v_jax.data.video_builder import VideoBuilder
from i2v_jax.errors import UserError
from i2v_jax.media.paths import natural_key

METADATA = "taichi-metadata.csv"
_SHA256 = "1f9dcf5af96c1eb7aceb9afdf796f81668a0f8d8fc58c910369dedaab04fe12f"  # of the published one


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
        chunks, recordings = [], list[raw.RawVideo]()
        for video in found:
            *folders, file = video.name.split("/")
            if "#" in file:
                name, split = file.removesuffix(".mp4"), next(filter(None, map(raw.split_of, folders)), video.split)
                chunks.append(_chunk(video, split, name))
            else:
                recordings.append(dataclasses.replace(video, name=Path(file).stem))
        if not (raw_dir / METADATA).is_file():
            reason = f"a whole recording, which is cut by {METADATA}: put that into {raw_dir}"
            return chunks, [*skipped, *(raw.Skipped(video.name, reason) for video in recordings)]
        recordings, twice = raw.without_duplicates(recordings)
        listed = _listed(raw_dir / METADATA)
        there = {chunk.name.rpartition("/")[2] for chunk in chunks}
        cuts, not_cut = _cut_out(listed, {video.name: video for video in recordings}, there)
        if hashlib.sha256((raw_dir / METADATA).read_bytes()).hexdigest() != _SHA256:
            not_cut.append(raw.Skipped(METADATA, "it is used, but is not byte for byte the published list"))
        chunks += sorted(cuts, key=lambda chunk: natural_key(chunk.name))  # those of a recording follow each other
        return chunks, [*skipped, *twice, *not_cut]


def _chunk(video: raw.RawVideo, split: str, name: str, inside: Cut | None = None) -> raw.RawVideo:
    recording = name.split("#", maxsplit=1)[0]
    return dataclasses.replace(
        video,
        name=f"{split}/{name}",
        split=split,
        group=recording,
        object=recording,
        inside=inside or video.inside,
    )


def _cut_out(
    listed: Sequence[tuple[str, str, Cut]], recordings: Mapping[str, raw.RawVideo], there: Collection[str]
) -> tuple[list[raw.RawVideo], list[raw.Skipped]]:
    """Returns the chunks that are in a recording and not `there`, and the recordings that are missing or not listed."""
    cuts = []
    missing: collections.Counter[str] = collections.Counter()
    for name, split, cut in listed:
        recording = name.split("#")[0]
        if name in there:
            continue
        if found := recordings.get(recording):
            assert not isinstance(found.inside, raw.Chunk)
            cuts.append(_chunk(found, split, name, dataclasses.replace(cut, source=found.inside)))
        else:
            missing[recording] += 1
    unlisted = recordings.keys() - {name.split("#")[0] for name, _, _ in listed}
    skipped = [raw.Skipped(name, f"missing: {count} chunks of {METADATA}") for name, count in missing.items()]
    return cuts, [*skipped, *(raw.Skipped(name, f"not in {METADATA}") for name in sorted(unlisted))]


def _listed(path: Path) -> list[tuple[str, str, Cut]]:
    """Returns the name, the split and the place of each chunk. Raises UserError for a malformed line."""
    found = []
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                recording, split, cut = row["video_id"].split("#")[0], raw.split_of(row["partition"]), _cut(row)
                if not split:
                    raise ValueError(f"its partition is {row['partition']!r}")
                found.append((f"{recording}#{cut.first:06d}#{cut.last:06d}", split, cut))
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, csv.Error) as error:
            number = rows.line_num
            raise UserError(f"{path}: line {number} is not that of a chunk ({error})", METADATA, number) from error
    if not found:
        raise UserError(f"{path} lists no chunks: put the published file there", METADATA, 0)
    return found


def _cut(row: Mapping[str, str]) -> Cut:
    left, top, right, bottom = (int(side) for side in row["bbox"].split("-"))
    width, height = int(row["width"]), int(row["height"])
    box = (left / width, top / height, right / width, bottom / height)
    return Cut(int(row["start"]), int(row["end"]), float(row["fps"]), box)
