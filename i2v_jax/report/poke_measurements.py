"""What a poke model is measured by: held-out clips of `plants`, whose every motion is known."""

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import jax
import numpy as np
from numpy.typing import NDArray

from i2v_jax.errors import UserError
from i2v_jax.evaluation.metrics import image_distance_per_frame, psnr_per_frame, ssim_per_frame
from i2v_jax.evaluation.motion import track
from i2v_jax.input import flow, plants, pokes
from i2v_jax.sampling.poke_synthesizer import PokeSynthesizer
from i2v_jax.tasks.perceptual_loss import make_distance

Floats = NDArray[np.floating]
_CHUNK = 16  # clips at a time in the distance


@dataclasses.dataclass(frozen=True)
class PokedClips:
    """Held-out clips, what moves furthest in them, and a place of their background."""

    video: Floats  # [N, 1 + T, H, W, 3] in [-1, 1], the start frame first
    position: Floats  # [N, 2] as (x, y): a pixel drawn among those that training would poke
    displacement: Floats  # [N, 2], exactly how far what it shows has gone in the last frame
    background: Floats  # [N, 2]: a pixel that shows no plant


def held_out(count: int, size: int, poke_size: int) -> PokedClips:
    """The first `count` test clips of `plants` at `size` pixels, each with a poke drawn as in training."""
    videos, chosen, empty = [], [], []
    for index in range(count):
        rng = np.random.default_rng(index)
        exact = plants.plants_flow("test", index, size)
        chosen.append(pokes.draw_poke(exact, poke_size, False, rng))
        places = pokes.background(exact, poke_size, plants.plants_mask("test", index, size))
        empty.append(places[rng.integers(len(places))])
        videos.append(plants.render("test", index, size, range(plants.LAST_FRAME + 1)))
    return PokedClips(
        video=np.stack(videos).astype(np.float32) / 127.5 - 1,
        position=np.array([poke.position for poke in chosen], np.float32),
        displacement=np.stack([poke.displacement for poke in chosen]),
        background=np.array(empty, np.float32),
    )


def spread_places(index: int, size: int, count: int) -> Floats:
    """Places [count, 2] on the plants of a test clip, from left to right, in their upper parts."""
    rows, columns = np.nonzero(plants.plants_mask("test", index, size))
    groups = np.array_split(np.argsort(columns, kind="stable"), count)
    chosen = [group[np.argsort(rows[group], kind="stable")[len(group) // 4]] for group in groups]
    return np.stack([columns[chosen], rows[chosen]], axis=-1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Means over the clips."""

    numbers: dict[str, float]  # see `measure_pokes`
    curves: dict[str, dict[str, list[float]]]  # metric -> candidate -> its value in each of the T frames


def measure_pokes(synthesizer: PokeSynthesizer, clips: PokedClips) -> dict[str, float]:
    """All numbers, means over the clips; lengths in pixels at the model's resolution, PSNR in dB.

    `target_error_*` is the distance between where the poked point has ended (`evaluation.motion.track`) and where it
    was sent: of the model's answers ("model"), of the start frame copied, where it is the length of the poke ("still"),
    of the start frame moved as a whole ("translation"), and of the true clips, where only the tracker errs ("truth").
    `background_motion_*` is the mean length of the flow from start to last frame after a poke of the background, of
    the same displacement. The baselines are those of `baselines`. The distance between images is LPIPS where its
    weights are there, and otherwise that of Laplacian pyramids; its numbers are named after it.
    """
    return measure(synthesizer, clips).numbers


def measure(synthesizer: PokeSynthesizer, clips: PokedClips) -> Measured:
    """As `measure_pokes`, with the course over time."""
    start, truth = clips.video[:, 0], clips.video[:, 1:]
    frames = truth.shape[1]
    answers = synthesizer.respond(start, clips.position, clips.displacement, frames)
    candidates = {"model": answers, **baselines(clips)}
    after_background = synthesizer.respond(start, clips.background, clips.displacement, frames)
    numbers = {
        "clips": float(len(start)),
        **{f"target_error_{name}": target_error(clips, video) for name, video in candidates.items()},
        "target_error_truth": target_error(clips, truth),
        "background_motion_model": _motion(start, after_background),
        "background_motion_translation": _motion(start, candidates["translation"]),
        "motion_truth": _motion(start, truth),
    }
    curves: dict[str, dict[str, list[float]]] = {}
    for metric, per_frame in _metrics().items():
        curves[metric] = {
            name: [float(value) for value in per_frame(truth, video).mean(axis=0)] for name, video in candidates.items()
        }
        numbers |= {f"{metric}_{name}": float(np.mean(curve)) for name, curve in curves[metric].items()}
    return Measured(numbers, curves)


def baselines(clips: PokedClips) -> dict[str, Floats]:
    """What a model has to beat, [N, T, H, W, 3] each.

    "still": the start frame, repeated. "translation": frame t of T is the start frame moved as a whole by t / T of the
    poke's displacement, bilinearly interpolated, its border pixels repeated into what becomes free.
    """
    start, frames = clips.video[:, 0], clips.video.shape[1] - 1
    shares = np.arange(1, frames + 1) / frames
    moved = [
        [translated(frame, share * displacement) for share in shares]
        for frame, displacement in zip(start, clips.displacement, strict=True)
    ]
    return {"still": np.repeat(start[:, None], frames, axis=1), "translation": np.array(moved)}


def translated(frame: Floats, displacement: Floats) -> Floats:
    """[H, W, 3] with its contents moved by (dx, dy)."""
    matrix = np.array([[1, 0, displacement[0]], [0, 1, displacement[1]]], np.float64)
    size = (frame.shape[1], frame.shape[0])
    return np.asarray(
        cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def target_error(clips: PokedClips, videos: Floats) -> float:
    """Mean distance in pixels between where the poked points end in `videos` [N, T, H, W, 3] and their targets."""
    whole = np.concatenate([clips.video[:, :1], videos], axis=1)
    ends = np.array([track(video, tuple(place)) for video, place in zip(whole, clips.position, strict=True)])
    return float(np.hypot(*(ends - clips.position - clips.displacement).T).mean())


def _motion(start: Floats, videos: Floats) -> float:
    """Mean length of the flow from start frames [N, H, W, 3] to the last ones of [N, T, H, W, 3], over all pixels."""
    first, last = (np.clip(np.rint((frames + 1) * 127.5), 0, 255).astype(np.uint8) for frames in (start, videos[:, -1]))
    flows = np.stack([flow.estimate(*pair) for pair in zip(first, last, strict=True)])
    return float(np.hypot(flows[..., 0], flows[..., 1]).mean())


def _metrics() -> dict[str, Callable[[Floats, Floats], Floats]]:
    """Metric -> function of truth and video [N, T, H, W, 3] -> [N, T]."""
    try:
        name, (distance, networks) = "lpips", make_distance("lpips", "float32")
    except UserError:  # its weights were not fetched
        name, (distance, networks) = "laplacian", make_distance("laplacian", "float32")

    @jax.jit
    def images(truth: jax.Array, video: jax.Array) -> jax.Array:
        return image_distance_per_frame(lambda a, b: distance(networks, a, b), truth, video)

    return {name: _few(images), "psnr_db": _few(jax.jit(psnr_per_frame)), "ssim": _few(jax.jit(ssim_per_frame))}


def _few(function: Callable[[Floats, Floats], jax.Array]) -> Callable[[Floats, Floats], Floats]:
    """The same a few clips at a time."""

    def run(truth: Floats, video: Floats) -> Floats:
        parts: Sequence[slice] = [slice(first, first + _CHUNK) for first in range(0, len(truth), _CHUNK)]
        return np.concatenate([np.asarray(function(truth[part], video[part])) for part in parts])

    return run
