"""What a model of the procedural sky is measured by: held-out clips whose motion is known exactly."""

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
        """The clips' own eta, [N, 36]."""
        return encode_directions(self.degrees)


def held_out(count: int, size: int) -> HeldOut:
    """The first `count` test clips of the procedural sky at `size` pixels."""
    times = range(CLIP_FRAMES + 1)
    frames = np.stack([sky.render("test", index, size, times) for index in range(count)])
    return HeldOut(
        video=from_levels(frames),
        degrees=np.array([sky.sky_motion("test", index).angle for index in range(count)]),
        mask=np.stack([sky.sky_mask("test", index, size) for index in range(count)]),
    )


def encode_directions(degrees: Sequence[float] | Floats) -> Floats:
    """Angles [N] -> eta [N, 36]."""
    bins = np.array([directions.direction_bin(angle) for angle in degrees])
    return np.asarray(DIRECTION.encode(bins, 0))


def bin_centers(degrees: Floats) -> Floats:
    """Angles [N] -> the middle of the bins that hold them: what the model is really asked for."""
    return np.array([directions.bin_center(directions.direction_bin(angle)) for angle in degrees])


def seen_directions(start_frames: Floats, videos: Floats, masks: Floats) -> Floats:
    """By optical flow in the sky, of start frames [N, H, W, 3] followed by videos [N, T, H, W, 3]: [N] degrees."""
    whole = np.concatenate([start_frames[:, None], videos], axis=1)
    return np.array([measure_direction(video, mask) for video, mask in zip(whole, masks, strict=True)])


def angular_errors(asked: Floats, seen: Floats) -> Floats:
    """[N] and [N] degrees -> [N] in [0, 180]."""
    return np.array([directions.angular_error(a, b) for a, b in zip(asked, seen, strict=True)])


def circular_deviation(degrees: Floats) -> float:
    """The circular standard deviation sqrt(-2 ln R) in degrees, R being the length of the mean of the unit vectors.

    0 for a single direction; it grows without bound as the directions cancel.
    """
    length = abs(np.exp(1j * np.radians(degrees)).mean())
    return float(np.degrees(np.sqrt(-2 * np.log(min(max(length, 1e-12), 1.0)))))


def measure(generator: CinnGenerator, clips: HeldOut, seed: int = 0) -> dict[str, float]:
    """All numbers of the page. Angles in degrees, PSNR in dB; means over the clips unless the name says otherwise."""
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
    candidates = {
        "reconstruction": generator.reconstruct(clips.video),
        "copied_start_frame": np.broadcast_to(clips.video[:, :1], truth.shape),
    }
    numbers = {}
    for name, video in candidates.items():
        numbers[f"{name}_psnr_db"] = float(psnr(truth, video).mean())
        numbers[f"{name}_ssim"] = float(ssim(truth, video).mean())
    return numbers


def _control(generator: CinnGenerator, clips: HeldOut, seed: int) -> dict[str, float]:
    """Directions asked all around: one sample per start frame, and the clips' own residuals under new directions."""
    count, start = len(clips.video), clips.video[:, 0]
    asked = bin_centers(np.random.default_rng(seed).permutation(count) * 360 / count)
    eta = encode_directions(asked)
    samples = generator.generate(start, jax.random.key(seed), 1, control=eta)[:, 0]
    recontrolled = generator.recontrol(clips.video, clips.control, eta)
    errors = angular_errors(asked, seen_directions(start, samples, clips.mask))
    return {
        "control_error_degrees": float(errors.mean()),
        "control_error_median_degrees": float(np.median(errors)),
        "recontrol_error_degrees": float(
            angular_errors(asked, seen_directions(start, recontrolled, clips.mask)).mean()
        ),
    }


def _transfer(generator: CinnGenerator, clips: HeldOut) -> dict[str, float]:
    """The motion of each clip on the start frame of another."""
    other = np.roll(np.arange(len(clips.video)), len(clips.video) // 2)
    start = clips.video[other, 0]
    videos = generator.transfer(generator.encode_motion(clips.video, clips.control), start, clips.control)
    errors = angular_errors(clips.degrees, seen_directions(start, videos, clips.mask[other]))
    return {"transfer_error_degrees": float(errors.mean())}


def _spread(generator: CinnGenerator, clips: HeldOut, seed: int) -> dict[str, float]:
    """Of samples of a few start frames, next to equally many true clips: the statistic depends on the number."""
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
