"""Measurements of models that answer to pokes, on the pokes of held-out clips of their data set."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import jax
import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.data.data_set import KnownAnswers
from i2v_jax.data.registry import data_set
from i2v_jax.errors import UserError
from i2v_jax.evaluation.poked_clips import PokedClips, held_out
from i2v_jax.input import flow
from i2v_jax.metrics.diversity import SAMPLES, pairwise_diversity
from i2v_jax.metrics.motion import track
from i2v_jax.metrics.paired import image_distance_per_frame, psnr_per_frame, ssim_per_frame
from i2v_jax.pixels import from_levels, to_uint8
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.poke import PokeGenerator
from i2v_jax.tasks.perceptual_loss import make_distance

Floats = NDArray[np.floating]
_CHUNK = 16  # clips per call of a metric


@dataclasses.dataclass(frozen=True)
class Measured:
    """Means over the clips."""

    numbers: dict[str, float]  # see `measure`
    curves: dict[str, dict[str, list[float]]]  # metric -> name of the answers -> value in each of the T frames


# (start frames [N, H, W, 3], positions [N, 2], displacements [N, 2], T) -> S answers to each poke, [N, S, T, H, W, 3]
Respond = Callable[[Floats, Floats, Floats, int], Floats]


def measure(generator: PokeGenerator, clips: PokedClips) -> Measured:
    """Returns all measurements, means over the clips; lengths in pixels at the model's resolution, PSNR in dB.

    `target_error_*` is the distance between the position where the poked point ends (`metrics.motion.track`) and its
    target: in the model's answers ("model"), in the repeated start frame, where it is the length of the poke ("still"),
    in the start frame that is moved as a whole ("translation"), and in the true clips, where it is the error of the
    tracker ("truth"). `background_motion_*` is the mean length of the flow from the first to the last frame after a
    poke of the background with the same displacement. "still" and "translation" are the `baselines`. The distance
    between images is LPIPS if its weights are available, and otherwise that of Laplacian pyramids; the measurements are
    named after it.
    """

    def respond(start: Floats, position: Floats, displacement: Floats, frames: int) -> Floats:
        return generator.respond(start, position, displacement, frames)[:, None]

    return _measure(respond, clips, {})


def measure_samples(
    generator: CinnGenerator,
    data: ConfigDict,
    count: int,
    *,
    split: str = "test",
    samples: int = SAMPLES,
    seed: int = 0,
    temperature: float = 1.0,
    beside: PokeGenerator | None = None,
) -> Measured:
    """Returns the measurements of a cINN that is controlled by pokes, on `held_out` clips of `data`.

    They are those of `measure`, where "model" is the mean over `samples` samples of each poke, and these:
    "reconstruction" is the video autoencoder's reconstruction of the true clips, the best that samples can be.
    `diversity_*` is the mean squared difference of pixels in [-1, 1] between two samples of a poke
    (`metrics.diversity`), and `diversity_motion_*` the root mean squared difference between their flows from the first
    to the last frame in pixels. If the data set has `KnownAnswers`, "truth" is the diversity of as many true answers.
    If there is a deterministic model `beside`, its measurements on the same pokes are named "deterministic".

    Raises:
        UserError: the model is not controlled by pokes, or `beside` has another frame size or another number of
            frames, unless clips of the data set show the whole motion in any number of frames.
    """

    def respond(start: Floats, position: Floats, displacement: Floats, frames: int) -> Floats:
        control = generator.encode_pokes(position, displacement)
        key = jax.random.key(seed)
        return generator.generate(start, key, samples, frames=frames, temperature=temperature, control=control)

    if beside is not None:
        _check_beside(beside, generator.size, data)
    clips = held_out(data, count, split)
    measured = _measure(respond, clips, {"reconstruction": generator.reconstruct(clips.video)})
    known = data_set(data.name)
    if samples > 1 and isinstance(known, KnownAnswers):
        truth = true_answers(known, clips, data, samples, seed=seed, split=split)
        measured.numbers.update(_diversity(clips.video[:, 0], truth, "truth"))
    if beside is None:
        return measured
    theirs = data.copy_and_resolve_references()
    theirs.frames = beside.frames + 1
    other = measure(beside, held_out(theirs, count, split)).numbers
    own = {name.removesuffix("model") + "deterministic": other[name] for name in other if name.endswith("_model")}
    # one answer to each poke
    none = {f"{name}_deterministic": 0.0 for name in ("diversity", "diversity_motion")}
    return dataclasses.replace(measured, numbers={**measured.numbers, **own, **none})


def _check_beside(beside: PokeGenerator, size: int, data: ConfigDict) -> None:
    if beside.size != size:
        raise UserError(
            f"the models have frames of {size} and {beside.size} pixels: compare models of the same size",
            "beside",
            beside.size,
        )
    if not data_set(data.name).whole_motion and beside.frames + 1 != data.frames:
        raise UserError(
            f"the models have clips of {data.frames} and {beside.frames + 1} frames, and a point goes further in the "
            f"longer ones: train the poke model with data.frames={data.frames}",
            "beside",
            beside.frames + 1,
        )


def _measure(respond: Respond, clips: PokedClips, others: dict[str, Floats]) -> Measured:
    """Measures a model, the baselines, and `others`, videos [N, T, H, W, 3] of the clips by name."""
    start, truth = clips.video[:, 0], clips.video[:, 1:]
    frames = truth.shape[1]
    answers = respond(start, clips.position, clips.model_displacement, frames)
    single = {name: videos[:, None] for name, videos in {**others, **baselines(clips)}.items()}
    answers_by_name = {"model": answers, **single}
    after_background = respond(start, clips.background, clips.model_displacement, frames)
    numbers = {
        "clips": float(len(start)),
        **{f"target_error_{name}": target_error(clips, videos) for name, videos in answers_by_name.items()},
        "target_error_truth": target_error(clips, truth[:, None]),
        "background_motion_model": _motion(start, after_background),
        "background_motion_translation": _motion(start, answers_by_name["translation"]),
        "motion_truth": _motion(start, truth[:, None]),
    }
    if answers.shape[1] > 1:
        numbers |= {"samples": float(answers.shape[1]), **_diversity(start, answers, "model")}
    curves: dict[str, dict[str, list[float]]] = {}
    for metric, per_frame in _metrics().items():
        curves[metric] = {}
        for name, videos in answers_by_name.items():
            values = per_frame(np.repeat(truth, videos.shape[1], axis=0), np.concatenate(videos))
            curves[metric][name] = [float(value) for value in values.mean(axis=0)]
        numbers |= {f"{metric}_{name}": float(np.mean(curve)) for name, curve in curves[metric].items()}
    return Measured(numbers, curves)


def _diversity(start: Floats, answers: Floats, name: str) -> dict[str, float]:
    """Returns the diversity of samples [N, S, T, H, W, 3], see `measure_samples`."""
    motion = 2 * np.asarray(pairwise_diversity(_flows(start, answers)))  # two components
    return {
        f"diversity_{name}": float(np.mean(pairwise_diversity(answers))),
        f"diversity_motion_{name}": float(np.sqrt(motion).mean()),
    }


def true_answers(
    known: KnownAnswers, clips: PokedClips, data: ConfigDict, samples: int, *, seed: int = 0, split: str = "test"
) -> Floats:
    """Returns what the scenes of the clips do when they are poked: [N, S, T, H, W, 3] in [-1, 1]."""
    pokes = zip(clips.example_id.tolist(), clips.position, clips.displacement, strict=True)
    answers = [
        known.true_answers(data, split, index, position, displacement, samples, seed)
        for index, position, displacement in pokes
    ]
    return from_levels(np.array(answers))


def baselines(clips: PokedClips) -> dict[str, Floats]:
    """Returns what a model should be better than, [N, T, H, W, 3] each.

    "still": the start frame, repeated. "translation": frame t of T is the start frame moved as a whole by t / T of the
    poke's displacement, with bilinear interpolation and repeated border pixels.
    """
    start, frames = clips.video[:, 0], clips.video.shape[1] - 1
    shares = np.arange(1, frames + 1) / frames
    moved = [
        [translated(frame, share * displacement) for share in shares]
        for frame, displacement in zip(start, clips.displacement, strict=True)
    ]
    return {"still": np.repeat(start[:, None], frames, axis=1), "translation": np.array(moved)}


def translated(frame: Floats, displacement: Floats) -> Floats:
    """Returns a frame [H, W, 3] whose contents are moved by (dx, dy)."""
    matrix = np.array([[1, 0, displacement[0]], [0, 1, displacement[1]]], np.float64)
    size = (frame.shape[1], frame.shape[0])
    return np.asarray(
        cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def target_error(clips: PokedClips, videos: Floats) -> float:
    """Returns the mean distance in pixels between the ends of the poked points in videos and their targets.

    Args:
        clips: N clips with their pokes.
        videos: S answers to each poke, [N, S, T, H, W, 3].
    """
    distances = []
    for clip, samples, position, displacement in zip(
        clips.video, videos, clips.position, clips.displacement, strict=True
    ):
        ends = [track(np.concatenate([clip[:1], video]), tuple(position)) for video in samples]
        distances.append([np.hypot(*(end - position - displacement)) for end in ends])
    return float(np.mean(distances))


def _motion(start: Floats, videos: Floats) -> float:
    """Returns the mean length of `_flows` over all pixels."""
    flows = _flows(start, videos)
    return float(np.hypot(flows[..., 0], flows[..., 1]).mean())


def _flows(start: Floats, videos: Floats) -> Floats:
    """Returns the flow [N, S, H, W, 2] from start frames [N, H, W, 3] to the last frames of [N, S, T, H, W, 3]."""
    pairs = zip(to_uint8(start), to_uint8(videos[:, :, -1]), strict=True)
    return np.stack([[flow.estimate(first, last) for last in row] for first, row in pairs])


def _metrics() -> dict[str, Callable[[Floats, Floats], Floats]]:
    """Returns functions of true and other videos [N, T, H, W, 3] that return [N, T], by the name of the metric."""
    try:
        name, (distance, networks) = "lpips", make_distance("lpips", "float32")
    except UserError:  # its weights are not available
        name, (distance, networks) = "laplacian", make_distance("laplacian", "float32")

    @jax.jit
    def images(networks: Any, truth: jax.Array, video: jax.Array) -> jax.Array:
        return image_distance_per_frame(lambda a, b: distance(networks, a, b), truth, video)

    placed = functools.partial(images, jax.device_put(networks))  # once, and not a constant of the program
    return {name: _few(placed), "psnr_db": _few(jax.jit(psnr_per_frame)), "ssim": _few(jax.jit(ssim_per_frame))}


def _few(function: Callable[[Floats, Floats], jax.Array]) -> Callable[[Floats, Floats], Floats]:
    """Returns a function that computes the same for a few clips at a time."""

    def run(truth: Floats, video: Floats) -> Floats:
        parts: Sequence[slice] = [slice(first, first + _CHUNK) for first in range(0, len(truth), _CHUNK)]
        return np.concatenate([np.asarray(function(truth[part], video[part])) for part in parts])

    return run
