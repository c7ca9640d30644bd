"""Measurements of models of the procedural sky, on held-out clips whose motion is known exactly."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import NDArray

from i2v_jax.input import directions
from i2v_jax.input.procedural import sky
from i2v_jax.metrics.motion import measure_direction
from i2v_jax.metrics.paired import psnr, ssim
from i2v_jax.pixels import from_levels
from i2v_jax.sampling.cinn import CinnGenerator
from i2v_jax.sampling.cinn_core import CLIP_FRAMES
from i2v_jax.tasks.control import DIRECTION

CHANCE_DEGREES = 90.0  # the mean angle between two unrelated directions
Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Clips of the test split."""

    video: Floats  # [N, 17, H, W, 3] in [-1, 1], the start frame first
    degrees: Floats  # [N], the exact direction of the clouds
    mask: Floats  # [N, H, W], 1 in the sky, 0 on the ground

    @property
    def control(self) -> Floats:
        """The encoded control of the clips' own motion, [N, 36]."""
        return encode_directions(self.degrees)


def held_out(count: int, size: int) -> HeldOut:
    """Returns the first `count` test clips of the procedural sky at `size` pixels."""
    times = range(CLIP_FRAMES + 1)
    frames = np.stack([sky.render("test", index, size, times) for index in range(count)])
    return HeldOut(
        video=from_levels(frames),
        degrees=np.array([sky.sky_motion("test", index).angle for index in range(count)]),
        mask=np.stack([sky.sky_mask("test", index, size) for index in range(count)]),
    )


def encode_directions(degrees: Sequence[float] | Floats) -> Floats:
    """Returns the encoded control [N, 36] of angles [N] in degrees."""
    bins = np.array([directions.direction_bin(angle) for angle in degrees])
    return np.asarray(DIRECTION.encode(bins, 0))


def bin_centers(degrees: Floats) -> Floats:
    """Returns the centers of the bins of angles [N]: the directions that the model is really controlled by."""
    return np.array([directions.bin_center(directions.direction_bin(angle)) for angle in degrees])


def seen_directions(start_frames: Floats, videos: Floats, masks: Floats) -> Floats:
    """Returns directions [N] in degrees, measured by optical flow in the sky.

    Args:
        start_frames: [N, H, W, 3].
        videos: the frames that follow, [N, T, H, W, 3].
        masks: [N, H, W], 1 in the sky.
    """
    whole = np.concatenate([start_frames[:, None], videos], axis=1)
    return np.array([measure_direction(video, mask) for video, mask in zip(whole, masks, strict=True)])


def angular_errors(requested: Floats, seen: Floats) -> Floats:
    """Returns the angles [N] in [0, 180] between directions [N] in degrees."""
    return np.array([directions.angular_error(a, b) for a, b in zip(requested, seen, strict=True)])


def circular_deviation(degrees: Floats) -> float:
    """Returns the circular standard deviation sqrt(-2 ln R) in degrees; R is the length of the mean unit vector.

    It is 0 for a single direction, and has no upper bound.
    """
    length = abs(np.exp(1j * np.radians(degrees)).mean())
    return float(np.degrees(np.sqrt(-2 * np.log(min(max(length, 1e-12), 1.0)))))


def measure(generator: CinnGenerator, clips: HeldOut, seed: int = 0) -> dict[str, float]:
    """Returns all measurements: angles in degrees, PSNR in dB, means over the clips unless the name says otherwise."""
    start, truth = clips.video[:, 0], clips.video[:, 1:]
    seen = seen_directions(start, truth, clips.mask)
    return {
        "clips": float(len(start)),
        "chance_degrees": CHANCE_DEGREES,
        "estimator_error_degrees": float(angular_errors(clips.degrees, seen).mean()),
        **_reconstruction(generator, clips),
        **_control(generator, clips, seed),
        **_transfer(generator, clips),
        **_spread(generator, clips, seed),
    }


def _reconstruction(generator: CinnGenerator, clips: HeldOut) -> dict[str, float]:
    truth = clips.video[:, 1:]
    predictions = {
        "reconstruction": generator.reconstruct(clips.video),
        "copied_start_frame": np.broadcast_to(clips.video[:, :1], truth.shape),
    }
    numbers = {}
    for name, video in predictions.items():
        numbers[f"{name}_psnr_db"] = float(psnr(truth, video).mean())
        numbers[f"{name}_ssim"] = float(ssim(truth, video).mean())
    return numbers


def _control(generator: CinnGenerator, clips: HeldOut, seed: int) -> dict[str, float]:
    """Measures control by directions all around: of one sample per start frame, and of the clips' own residuals."""
    count, start = len(clips.video), clips.video[:, 0]
    requested = bin_centers(np.random.default_rng(seed).permutation(count) * 360 / count)
    control = encode_directions(requested)
    samples = generator.generate(start, jax.random.key(seed), 1, control=control)[:, 0]
    recontrolled = generator.recontrol(clips.video, clips.control, control)
    errors = angular_errors(requested, seen_directions(start, samples, clips.mask))
    return {
        "control_error_degrees": float(errors.mean()),
        "control_error_median_degrees": float(np.median(errors)),
        "recontrol_error_degrees": float(
            angular_errors(requested, seen_directions(start, recontrolled, clips.mask)).mean()
        ),
    }


def _transfer(generator: CinnGenerator, clips: HeldOut) -> dict[str, float]:
    """Measures the motion of each clip when it is transferred to the start frame of another clip."""
    other = np.roll(np.arange(len(clips.video)), len(clips.video) // 2)
    start = clips.video[other, 0]
    videos = generator.transfer(generator.encode_motion(clips.video, clips.control), start, clips.control)
    errors = angular_errors(clips.degrees, seen_directions(start, videos, clips.mask[other]))
    return {"transfer_error_degrees": float(errors.mean())}


def _spread(generator: CinnGenerator, clips: HeldOut, seed: int) -> dict[str, float]:
    """Measures the spread of directions among samples of one start frame, and among equally many true clips."""
    samples = min(32, len(clips.video))
    starts = min(4, len(clips.video))
    start = clips.video[:starts, 0]
    videos = generator.generate(start, jax.random.key(seed + 1), samples)
    spreads = [
        circular_deviation(seen_directions(np.stack([frame] * samples), row, np.stack([mask] * samples)))
        for frame, row, mask in zip(start, videos, clips.mask, strict=False)
    ]
    groups = [clips.degrees[first : first + samples] for first in range(0, len(clips.degrees) - samples + 1, samples)]
    return {
        "free_samples_spread_degrees": float(np.mean(spreads)),
        "data_spread_degrees": float(np.mean([circular_deviation(group) for group in groups])),
        "spread_samples": float(samples),
    }
