"""Finds the training clips that are nearest to a sample, which show that it is not a copy of one."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from i2v_jax import logs
from i2v_jax.data.protocol import Protocol
from i2v_jax.evaluation.clips import ClipReader, open_clips
from i2v_jax.evaluation.evaluated_model import EvaluatedModel

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class Nearest:
    """For each of N samples the nearest training clip, by two distances."""

    reader: ClipReader
    by_latent: NDArray[np.int64]  # [N] ids of training clips
    by_pixels: NDArray[np.int64]  # [N]
    latent_distance: Floats  # [N], Euclidean
    pixel_distance: Floats  # [N], root mean square over frames in [-1, 1]


def nearest_training_clips(
    model: EvaluatedModel, videos: Floats, *, limit: int = 256, batch_size: int = 8, progress: bool = False
) -> Nearest:
    """Compares videos with the first `limit` clips of the training split, spread over its videos.

    Args:
        model: its `clip_features` span the space of the first distance.
        videos: [N, 1 + T, H, W, 3], start frame first; the first 1 + `model.feature_frames` frames count.
        limit: training clips to look at, a random start in each video, the videos in turn.
        batch_size: training clips in memory at a time.
        progress: show a bar.

    Raises:
        UserError: no training data.
    """
    frames, stride = model.feature_frames, model.config.data.frame_stride
    in_turn = Protocol("training clips", frames, True, "random", clips=limit, stride=stride)
    reader = dataclasses.replace(open_clips(model.config.data, in_turn, "train"), pokes=None)
    videos = np.asarray(videos[:, : 1 + frames], np.float32)
    latents = model.clip_features(videos)
    best_latent, best_pixels = (np.full(len(videos), np.inf) for _ in range(2))
    by_latent, by_pixels = (np.zeros(len(videos), np.int64) for _ in range(2))
    for example_ids in _batches(len(reader), batch_size, progress):
        clips = reader.read(example_ids)["video"]
        of_latents = np.linalg.norm(latents[:, None] - model.clip_features(clips)[None], axis=-1)
        of_pixels = np.stack([np.sqrt(np.mean(np.square(clips - video), axis=(1, 2, 3, 4))) for video in videos])
        for distances, best, chosen in ((of_latents, best_latent, by_latent), (of_pixels, best_pixels, by_pixels)):
            closest = distances.argmin(axis=1)
            value = distances[np.arange(len(videos)), closest]
            better = value < best
            best[better], chosen[better] = value[better], np.asarray(example_ids)[closest[better]]
    return Nearest(reader, by_latent, by_pixels, best_latent, best_pixels)


def _batches(count: int, size: int, progress: bool) -> Iterator[list[int]]:
    for first in logs.progress(range(0, count, size), desc="training clips", unit="batch", disable=not progress):
        yield list(range(first, min(first + size, count)))
