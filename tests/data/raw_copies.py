"""Tiny copies of the data sets as they are downloaded: their exact file formats and layouts, with a few small clips."""

import shutil
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tensorflow_datasets.proto import tf_example_pb2

from i2v_jax.data import lists, tfrecords
from tests.input.helpers import numbered_frames, write_frames, write_video

_SIDE = 64  # of BAIR's frames


def bair_example(number: int, frames: int = 30) -> bytes:
    """Returns a record of BAIR: frame t is gray with the value 6 t, and the end effector is at (t, number, -t) / 7."""
    example = tf_example_pb2.Example()
    feature = example.features.feature
    for t in range(frames):
        pixels = np.full((_SIDE, _SIDE, 3), 6 * t, np.uint8).tobytes()
        feature[f"{t}/image_aux1/encoded"].bytes_list.value.append(pixels)
        feature[f"{t}/image_main/encoded"].bytes_list.value.append(pixels[::-1])
        feature[f"{t}/endeffector_pos"].float_list.value.extend([t / 7, number / 7, -t / 7])
        feature[f"{t}/action"].float_list.value.extend([0.0] * 4)
    return example.SerializeToString()


def tfrecord(examples: Iterable[bytes]) -> bytes:
    """Returns a TFRecord file."""
    content = b""
    for example in examples:
        length = struct.pack("<Q", len(example))
        checksums = [struct.pack("<I", tfrecords.masked_crc32c(part)) for part in (length, example)]
        content += length + checksums[0] + example + checksums[1]
    return content


def bair_files() -> dict[str, bytes]:
    """Returns the files of the archive by their names in it."""
    files = {
        "train/traj_256_to_511": range(2),
        "train/traj_512_to_767": range(3),
        "train/traj_10240_to_10495": range(1),
        "test/traj_0_to_255": range(2),
    }
    return {
        f"softmotion30_44k/{name}.tfrecords": tfrecord(map(bair_example, numbers)) for name, numbers in files.items()
    }


def bair(folder: Path) -> None:
    """Writes `bair_robot_pushing_dataset_v0.tar`."""
    folder.mkdir(parents=True, exist_ok=True)
    _unpacked(folder / "unpacked", bair_files())
    with tarfile.open(folder / "bair_robot_pushing_dataset_v0.tar", "w") as archive:
        archive.add(folder / "unpacked", arcname=".")
    shutil.rmtree(folder / "unpacked")


def bair_converted(folder: Path) -> None:
    """Writes the layout of the release: PNG files and positions."""
    for name in ("train/traj_512_to_767/1", "eval/traj_256_to_511/1", "test/traj_0_to_255/1"):
        write_frames(folder / name, numbered_frames(30, _SIDE, _SIDE))
        rows = [f"{t / 7},{0.0},{-t / 7}" for t in range(30)]
        (folder / name / "endeffector_positions.csv").write_text("\n".join(rows))


def landscape_clips() -> dict[str, str]:
    """Returns the split of a few clips of the lists, and "" for two that are in none."""
    chosen = {
        f"sky_{'test' if split == 'test' else 'train'}/{clip}": split
        for split, count in (("train", 3), ("eval", 2), ("test", 2))
        for clip in lists.published("landscape", split)[:count]
    }
    return {**chosen, "sky_train/unlisted_id/unlisted_id_1": "", "sky_test/unlisted_id/unlisted_id_2": ""}


def landscape(folder: Path) -> None:
    """Writes `sky_timelapse.zip`: JPEG files whose numbers start anywhere and have gaps."""
    with zipfile.ZipFile(_made(folder) / "sky_timelapse.zip", "w") as archive:
        for clip in landscape_clips():
            recording, top = clip.split("/")[1], folder / "unpacked"
            write_frames(top, numbered_frames(35, 36, 64), first=417, suffix=".jpg")
            for number, file in enumerate(sorted(top.iterdir(), key=lambda file: int(file.stem[5:]))):
                gap = 3 if number > 10 else 0
                archive.write(file, f"sky_timelapse/{clip}/{recording}_frames_{417 + number + gap:08d}.jpg")
            shutil.rmtree(top)


def iper(folder: Path, names: Sequence[str]) -> None:
    """Writes `iPER_256_video_release.zip`."""
    videos = {f"iPER_256_video_release/{name}.mp4": _video(folder, 20) for name in names}
    _zipped(folder / "iPER_256_video_release.zip", videos)


def poking_plants(folder: Path, names: Sequence[str] = ("VID_0_1", "VID_0_2", "VID_8_1"), parts: int = 3) -> None:
    """Writes `poking_plants.z01`, `.z02`, ... and `.zip`, as `zip -s` does."""
    _zipped(folder / "poking_plants.zip", {f"{name}.mkv": _video(folder, 60, ".mkv") for name in names})
    split_zip(folder / "poking_plants.zip", parts)


def split_zip(path: Path, parts: int) -> None:
    """Cuts a zip file into parts: offsets count from the beginning of the part, and the directory is in the last."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        directory, infos = archive.start_dir, archive.infolist()
    signature = b"PK\x07\x08"  # of the first part
    cuts = [round(directory * part / parts) for part in range(parts)]
    begins = [0, *(cut + len(signature) for cut in cuts[1:])]
    position = directory
    for info in infos:
        at = info.header_offset + len(signature)
        disk = max(part for part, begin in enumerate(begins) if begin <= at)
        struct.pack_into("<H", content, position + 34, disk)
        struct.pack_into("<I", content, position + 42, at - begins[disk])
        position += 46 + sum(struct.unpack_from("<HHH", content, position + 28))
    end = content.rindex(b"PK\x05\x06")
    struct.pack_into("<HH", content, end + 4, parts - 1, parts - 1)
    struct.pack_into("<I", content, end + 16, directory + len(signature) - begins[-1])
    whole = signature + bytes(content)
    for part, (begin, stop) in enumerate(zip(begins, [*begins[1:], len(whole)], strict=True), 1):
        name = path.name if part == parts else f"{path.stem}.z{part:02d}"
        path.with_name(name).write_bytes(whole[begin:stop])


def human36m(
    folder: Path, files: Mapping[str, Sequence[str]] | None = None, archive_name: str = "Videos_{}.tgz"
) -> None:
    """Writes `Videos_S1.tgz` and so on, with the videos of each subject. Archives of other names have any checksum."""
    chosen = files or {
        "S1": ("Eating 1.54138969", "Eating 1.55011271", "_ALL 1.54138969"),
        "S5": ("Posing.54138969", "Walking 1.54138969"),
        "S9": ("Eating.54138969",),
        "S11": ("Eating.54138969",),
    }
    video = _video(folder, 150)
    for subject, names in chosen.items():
        top = folder / "unpacked"
        _unpacked(top, {f"{subject}/Videos/{name}.mp4": video for name in names})
        with tarfile.open(folder / archive_name.format(subject), "w:gz") as archive:
            archive.add(top / subject, arcname=subject)
        shutil.rmtree(top)


TAICHI_HEADER = "video_id,start,end,bbox,fps,width,height,partition\n"


def taichi(folder: Path) -> None:
    """Writes `taichi-metadata.csv` and recordings of twice its size and half its rate; one is missing."""
    rows = [
        ("aaaaaaaaaaa", 10, 60, "40-10-120-90", 50.0, 160, 120, "train"),
        ("aaaaaaaaaaa", 60, 96, "0-0-80-80", 50.0, 160, 120, "train"),
        ("bb-_bbbbbbb", 0, 60, "40-10-120-90", 50.0, 160, 120, "train"),
        ("ccccccccccc", 0, 80, "40-10-120-90", 50.0, 160, 120, "test"),
        ("ddddddddddd", 0, 80, "40-10-120-90", 50.0, 160, 120, "train"),
        ("ddddddddddd", 80, 160, "40-10-120-90", 50.0, 160, 120, "train"),
    ]
    for name in ("aaaaaaaaaaa", "bb-_bbbbbbb", "ccccccccccc"):
        frames = numbered_frames(50, 240, 320) // 3
        frames[:, 20:180, 80:240] += 40 + _moving(50, 160)  # the box of most chunks
        write_video(folder / "youtube-taichi" / f"{name}.mp4", frames)
    (folder / "taichi-metadata.csv").write_text(TAICHI_HEADER + "".join(",".join(map(str, row)) + "\n" for row in rows))


def _video(folder: Path, frames: int, suffix: str = ".mp4") -> bytes:
    """Returns a video of a pattern that moves to the right."""
    path = write_video(folder / f".video{suffix}", 100 + _moving(frames, 64))
    content = path.read_bytes()
    path.unlink()
    return content


def _moving(frames: int, side: int) -> np.ndarray:
    """Returns uint8 [frames, side, side, 3]: small values of zero mean, modulo 256, that move by a pixel each frame."""
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    pattern = 20 * np.sin(2 * np.pi * x * 3 / side) * np.sin(2 * np.pi * y * 4 / side)
    moved = np.stack([np.roll(pattern, t, axis=1) for t in range(frames)])
    return np.repeat(np.rint(moved).astype(np.int8).view(np.uint8)[..., None], 3, axis=-1)


def _zipped(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(_made(path.parent) / path.name, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def _unpacked(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        _made((folder / name).parent)
        (folder / name).write_bytes(content)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
