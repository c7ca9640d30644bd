"""Frames per second of the input pipeline against a PyTorch DataLoader: the same PNG frames, the same operations.

    python -m benchmarks.input_against_torch [--workers=2] [--rounds=3] [--growth_batches=2000]

Data: clips of 17 frames of long videos (1,200 frames of 256x256), and of videos as BAIR's (30 frames of 64x64), resized
to 64x64, flipped and jittered as by the cINN's release. Both sides are timed in turns. Also measured: seconds until the
first batch, the memory of a worker and its growth, and the bytes that are read for a clip over those of its frames.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from absl import app, flags, logging

from benchmarks.torch_loader import Clips, loader
from i2v_jax.config import Config
from i2v_jax.configs import fields
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.registry import open_split
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.input.pipeline import BatchIterator, make_pipeline
from i2v_jax.input.sources import RecordSource

WORKERS = flags.DEFINE_integer("workers", 2, "Processes that read, on both sides.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of timings of each side.")
SECONDS = flags.DEFINE_float("seconds", 6.0, "Seconds that one timing lasts.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 10, "Clips per batch.")
VIDEOS = flags.DEFINE_integer("videos", 3, "Long videos.")
GROWTH = flags.DEFINE_integer("growth_batches", 0, "Batches after which the memory of a worker is measured again.")

FRAMES, SIZE = 17, 64
JITTER = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1}


def write_frames(root: Path, count: int, length: int, side: int) -> None:
    """Writes videos as folders of PNG frames: a smooth picture that moves, with some noise."""
    for number in range(count):
        rng = np.random.default_rng(number)
        noise = rng.standard_normal((2 * side, 2 * side, 3)).astype(np.float32)
        picture = 128 + 600 * cv2.GaussianBlur(noise, (0, 0), side / 16)
        folder = root / f"{number:04d}"
        folder.mkdir(parents=True)
        for i in range(length):
            top, left = round(side / 2 * (1 + np.sin(i / 40))), round(side / 2 * (1 + np.cos(i / 50)))
            frame = picture[top : top + side, left : left + side] + rng.standard_normal((side, side, 1))
            cv2.imwrite(str(folder / f"{i:04d}.png"), np.clip(frame, 0, 255).astype(np.uint8))


def open_pipeline(data_dir: Path, workers: int) -> BatchIterator:
    data = Config(fields.data(SIZE))
    data.update(name="folder", dir=str(data_dir), frames=FRAMES, workers=workers, resize="release")
    data.clips_per_video.train = 1000
    data.jitter.update(JITTER, kind="kornia")
    return make_pipeline(open_split(data, "train"), data, batch_size=BATCH_SIZE.value, seed=0, train=True).iterator()


def rate(batches: Iterator) -> float:
    """Returns frames per second, after batches that were read ahead."""
    for _ in range(4 * WORKERS.value):
        next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS.value:
        next(batches)
        count += 1
    return count * BATCH_SIZE.value * FRAMES / (time.perf_counter() - start)


def worker_memory() -> float:
    """Returns the resident memory of the largest worker in GiB."""
    status = [Path(f"/proc/{process.pid}/status").read_text() for process in multiprocessing.active_children()]
    return max(int(text.split("VmRSS:")[1].split()[0]) for text in status) / 2**20


def bytes_per_clip(data_dir: Path, encoded: Path) -> float:
    """Returns the bytes that are read for a clip over those of its frames, after all shards were opened."""
    (folder,) = (data_dir / "folder").glob("*.*.*")
    source = RecordSource(folder, "train")
    for video in range(len(source)):
        source.read(video, [0])
    rng, shown, before = np.random.default_rng(0), 0, _bytes_read()
    for _ in range(200):
        video = int(rng.integers(len(source)))
        start = int(rng.integers(source.num_frames(video) - FRAMES + 1))
        source.read(video, range(start, start + FRAMES))
        frames = range(start, start + FRAMES)
        shown += sum((encoded / source.name(video) / f"{number:04d}.png").stat().st_size for number in frames)
    return (_bytes_read() - before) / shown


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def compare(name: str, raw: Path, data_dir: Path) -> str:
    """Times both sides in turns and returns the lines of the report."""
    ours, theirs, first = [], [], []
    grown = ""
    for number in range(ROUNDS.value):
        batches = iter(loader(Clips(raw, SIZE, FRAMES, JITTER), BATCH_SIZE.value, WORKERS.value))
        theirs.append(rate(batches))
        del batches
        start = time.perf_counter()
        iterator = open_pipeline(data_dir, WORKERS.value)
        next(iterator)
        first.append(time.perf_counter() - start)
        ours.append(rate(iterator))
        memory = worker_memory()
        if GROWTH.value and number == 0:
            for _ in range(GROWTH.value):
                next(iterator)
            grown = f", {worker_memory() - memory:+.3f} GiB after {GROWTH.value} further batches"
        iterator.close()
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return (
        f"{name}: {statistics.median(ours):.0f} frames/s, DataLoader {statistics.median(theirs):.0f}, ratio "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); first batch after "
        f"{statistics.median(first):.1f} s, worker {memory:.2f} GiB{grown}; bytes per clip "
        f"{bytes_per_clip(data_dir, raw):.3f}"
    )


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        for name, count, length, side in (("BAIR", 60, 30, 64), ("long", VIDEOS.value, 1200, 256)):
            raw, prepared = Path(folder) / name, Path(folder) / f"prepared_{name}"
            write_frames(raw, count, length, side)
            splits = SplitOptions(eval_fraction=0.0, test_fraction=0.0, seed=0)
            prepare(Folder, raw, prepared, options=StoreOptions(), split_options=splits, workers=WORKERS.value)
            print(compare(name, raw, prepared), flush=True)


if __name__ == "__main__":
    app.run(main)
