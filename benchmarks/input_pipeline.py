"""Frames per second of the input pipeline against OpenCV's decoding alone, on JPEG and mp4 input.

    python -m benchmarks.input_pipeline [--size=64] [--batch_size=8] [--rounds=3]

Both sides use the same number of processes and are timed in turns. OpenCV only decodes the same kind of clips (17
frames from a random start, full size, to RGB); the pipeline also reads records, resizes, flips, jitters, converts to
float32 and batches. The clips are generated at 640x360 unless --raw_dir names a folder of videos or frame folders.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from absl import app, flags, logging

from i2v_jax.config import Config
from i2v_jax.configs import fields
from i2v_jax.data.folder.builder import Folder
from i2v_jax.data.raw import RawVideo, find_videos
from i2v_jax.data.registry import open_split
from i2v_jax.data.staging import StoreOptions
from i2v_jax.data.video_builder import SplitOptions, prepare
from i2v_jax.input.pipeline import BatchIterator, make_pipeline
from i2v_jax.input.procedural import sky
from i2v_jax.media import images, paths, videos

RAW_DIR = flags.DEFINE_string("raw_dir", "", "Videos or folders of frames to use instead of generated ones.")
SIZE = flags.DEFINE_integer("size", 64, "Side of the frames in a batch.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Clips per batch.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of timings of each side.")
SECONDS = flags.DEFINE_float("seconds", 4.0, "Seconds that one timing lasts.")

FRAMES, WIDTH, HEIGHT = 17, 640, 360
Clock = Callable[[], float]


def read_source_frames(video: RawVideo | int) -> list[np.ndarray]:
    """Returns the frames of a user's video, or of a generated one given its number."""
    if isinstance(video, RawVideo):
        if video.path.is_dir():
            return [images.read_rgb(file) for file in paths.frame_files(video.path)]
        return list(videos.iterate_frames(video.path))
    noise = np.random.default_rng(video).normal(0.0, 4.0, (HEIGHT, WIDTH, 3))  # as compressible as camera footage
    drawn = sky.render("train", video, 256, range(33))
    return [np.clip(cv2.resize(f, (WIDTH, HEIGHT)) + noise, 0, 255).astype(np.uint8) for f in drawn]


def write_inputs(root: Path) -> None:
    """Writes the same videos twice: as folders of JPEG frames and as H.264."""
    sources: Sequence[RawVideo | int] = find_videos(Path(RAW_DIR.value))[0] if RAW_DIR.value else range(9)
    for number, source in enumerate(sources):
        frames = read_source_frames(source)
        folder = root / "jpeg" / f"{number:03d}"
        folder.mkdir(parents=True)
        for i, frame in enumerate(frames):
            cv2.imwrite(str(folder / f"{i:04d}.jpg"), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        write_mp4(root / "mp4" / f"{number:03d}.mp4", frames)


def write_mp4(path: Path, frames: list[np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def decode_jpeg_clip(encoded: list[list[bytes]], rng: np.random.Generator) -> None:
    video = encoded[rng.integers(len(encoded))]
    start = rng.integers(len(video) - FRAMES + 1)
    for frame in video[start : start + FRAMES]:
        cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR_RGB)


def decode_mp4_clip(path: Path, rng: np.random.Generator) -> None:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.set(cv2.CAP_PROP_POS_FRAMES, int(rng.integers(count - FRAMES + 1)))
    for _ in range(FRAMES):
        _, frame = capture.read()
        cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    capture.release()


def decode_for(kind: str, root: Path, seconds: float, seed: int, clock: Clock = time.perf_counter) -> float:
    """Returns the frames per second of OpenCV in this process."""
    cv2.setNumThreads(0)
    rng = np.random.default_rng(seed)
    clips = sorted((root / kind).iterdir())
    encoded = [[f.read_bytes() for f in paths.frame_files(clip)] for clip in clips] if kind == "jpeg" else []
    start, count = clock(), 0
    while clock() - start < seconds:
        if kind == "jpeg":
            decode_jpeg_clip(encoded, rng)
        else:
            decode_mp4_clip(clips[rng.integers(len(clips))], rng)
        count += 1
    return count * FRAMES / (clock() - start)


def time_opencv(kind: str, root: Path, pool: multiprocessing.pool.Pool, processes: int) -> float:
    arguments = [(kind, root, SECONDS.value, seed) for seed in range(processes)]
    return sum(pool.starmap(decode_for, arguments, chunksize=1))


def open_pipeline(data_dir: Path, workers: int, prefetch: int = 2) -> BatchIterator:
    data = Config(fields.data(SIZE.value))
    data.update(name="folder", dir=str(data_dir), frames=FRAMES, workers=workers, prefetch=prefetch)
    data.clips_per_video.train = 10
    data.jitter.update(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.15)
    iterator = make_pipeline(
        open_split(data, "train"), data, batch_size=BATCH_SIZE.value, seed=0, train=True
    ).iterator()
    next(iterator)
    return iterator


def time_pipeline(iterator: BatchIterator, workers: int, clock: Clock = time.perf_counter) -> float:
    for _ in range(2 * workers):  # batches that were read ahead do not count
        next(iterator)
    start, batches = clock(), 0
    while clock() - start < SECONDS.value:
        next(iterator)
        batches += 1
    return batches * BATCH_SIZE.value * FRAMES / (clock() - start)


def compare(kind: str, root: Path, workers: int) -> str:
    """Times both sides in turns and returns a line of the report."""
    ours, theirs = [], []
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in range(ROUNDS.value):
            theirs.append(time_opencv(kind, root, pool, workers))
            iterator = open_pipeline(root / f"prepared_{kind}", workers)
            ours.append(time_pipeline(iterator, workers))
            iterator.close()
    a, b = statistics.median(ours), statistics.median(theirs)
    return f"{kind:5s} {workers} worker(s): pipeline {a:.0f} frames/s, OpenCV {b:.0f} frames/s, ratio {a / b:.2f}"


def compare_processor_time(kind: str, root: Path) -> str:
    """Returns a line that compares both sides per second of processor time, which holds on a busy machine too."""
    iterator = open_pipeline(root / f"prepared_{kind}", workers=0, prefetch=0)
    ours, theirs = [], []
    for seed in range(ROUNDS.value):
        theirs.append(decode_for(kind, root, SECONDS.value, seed, time.process_time))
        ours.append(time_pipeline(iterator, 0, time.process_time))
    a, b = statistics.median(ours), statistics.median(theirs)
    return f"{kind:5s} per processor second: pipeline {a:.0f} frames, OpenCV {b:.0f} frames, ratio {a / b:.2f}"


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_inputs(root)
        for kind, store in (("jpeg", "frames"), ("mp4", "video")):
            prepare(
                Folder,
                root / kind,
                root / f"prepared_{kind}",
                options=StoreOptions(store, min_frames=FRAMES),
                split_options=SplitOptions(eval_fraction=0.0, test_fraction=0.0, seed=0),
                workers=2,
            )
            print(compare_processor_time(kind, root), flush=True)
            for workers in (1, 2):
                print(compare(kind, root, workers), flush=True)


if __name__ == "__main__":
    app.run(main)
