"""`sky`: a procedural data set of clouds over a still landscape, with known direction, speed and optical flow.

Above the clouds a veil of haze in evening light moves with the same wind, but faster. It is outside of the start frame
and covers about half of the sky in the following frames, like a broad weather front. A network learns the direction of
the wind from it long before it could learn it from the drift of the clouds.

A clip is a function of (split, index), so nothing is downloaded or stored. The clouds are sums of waves on a torus of
twice the frame's size: drifting by any fraction of a pixel multiplies the waves by a phase, so the flow is exact. Two
random streams are used, one for the content of the start frame and one for the motion. The start frame therefore has no
information about direction or speed.

Everything is drawn in units of the frame, so an index shows the same scene at every size.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft
import scipy.special

from i2v_jax.input import directions
from i2v_jax.input.procedural import sky_scenery
from i2v_jax.input.procedural.source import SPLIT_SEEDS, ProceduralSource

_APPEARANCE, _MOTION = 0, 1
# In frame widths per frame: over 16 frames clouds drift by an eighth to a fifth of the frame.
_SPEED = (0.008, 0.012)
_VEIL_SPEED = 5.0  # relative to the clouds
_VEIL_RIM = 0.8  # frame widths over which the veil's opacity rises to its maximum
_VEIL_OPACITY = 0.65
_MAX_WAVES = 48  # wave numbers per axis, over a torus of two frame widths


@dataclasses.dataclass(frozen=True)
class Motion:
    """How the clouds of one clip move."""

    angle: float  # degrees, convention of input/directions.py
    speed: float  # frame widths per frame

    def velocity(self, size: int) -> tuple[float, float]:
        """Returns (dx, dy) in pixels per frame, y down."""
        radians = np.radians(self.angle)
        return self.speed * size * float(np.cos(radians)), -self.speed * size * float(np.sin(radians))


def _rng(split: str, index: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([SPLIT_SEEDS[split], index, stream])


def sky_motion(split: str, index: int) -> Motion:
    """Returns the motion of a clip; direction (in [0, 360) degrees) and speed are uniformly distributed."""
    rng = _rng(split, index, _MOTION)
    return Motion(float(rng.uniform(0.0, 360.0)), float(rng.uniform(*_SPEED)))


def sky_mask(split: str, index: int, size: int) -> np.ndarray:
    """Returns the share of sky in each pixel, float32 [size, size] in [0, 1], 0 on the ground."""
    return _scene(split, index, size).sky_share


def sky_flow(split: str, index: int, size: int, time: float = 1.0) -> np.ndarray:
    """Returns the exact displacement of the clouds from frame 0 to frame `time`.

    The result is float32 [size, size, 2], (dx, dy) in pixels, 0 on the ground. Where the sky is clear, it is the motion
    that a cloud would have there.
    """
    velocity = np.asarray(sky_motion(split, index).velocity(size), np.float32)
    is_sky = sky_mask(split, index, size) > 0.5
    return (is_sky[..., None] * velocity * time).astype(np.float32)


def render(split: str, index: int, size: int, times: Sequence[float], motion: Motion | None = None) -> np.ndarray:
    """Draws the frames of one clip.

    Args:
        split: "train", "eval" or "test".
        index: the clip, from 0 without an upper limit.
        size: height and width in pixels.
        times: the T times to draw, in frames; 0 is the start frame.
        motion: replaces the clip's own motion.

    Returns:
        uint8 [T, size, size, 3], RGB.
    """
    motion = motion or sky_motion(split, index)
    dx, dy = motion.velocity(size)
    scene = _scene(split, index, size)
    shifts = np.asarray(times, np.float64)[:, None] * np.array([dx, dy])
    density, relief = (_drift(spectrum, shifts, size) for spectrum in scene.spectra)
    opacity = _smoothstep((density - scene.threshold) * (0.5 / scene.softness))
    # Thick cores are darker than rims; the relief brightens the side that faces the light.
    light = np.clip(0.7 + 0.25 * relief - 0.16 * np.maximum(density - scene.threshold - 0.5, 0.0), 0.0, 1.0)
    cloud_color = _blend(scene.cloud_shadow, scene.cloud_light, light[..., None])
    image = _blend(scene.backdrop, cloud_color, (scene.cloud_opacity * opacity)[..., None])
    veil = _VEIL_OPACITY * _veil_share(motion, times, size)
    image = _blend(image, scene.veil, veil[..., None])
    image = _blend(scene.ground, image, scene.sky_share[..., None])
    return np.rint(np.clip(image, 0.0, 255.0)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class _Scene:
    spectra: tuple[np.ndarray, ...]  # density, relief: complex [2 size, size + 1]
    backdrop: np.ndarray  # [H, W, 3], clear sky with sun
    ground: np.ndarray  # [H, W, 3]
    sky_share: np.ndarray  # [H, W]
    cloud_light: np.ndarray  # [H, W, 3], brighter near the sun
    cloud_shadow: np.ndarray  # [3]
    veil: np.ndarray  # [3]
    threshold: float
    softness: float
    cloud_opacity: float


@functools.lru_cache(maxsize=8)
def _scene(split: str, index: int, size: int) -> _Scene:
    rng = _rng(split, index, _APPEARANCE)
    palette = sky_scenery.draw_palette(rng)
    sun = sky_scenery.draw_sun(rng)
    light_angle = rng.uniform(0.0, 2.0 * np.pi)
    cover, softness = rng.uniform(0.45, 0.6), rng.uniform(0.8, 1.1)
    cloud_opacity = rng.uniform(0.9, 1.0)
    steepness = rng.uniform(1.7, 2.0)
    density, relief = _cloud_spectra(rng, size, steepness, light_angle)
    sky_share, ground = sky_scenery.draw_ground(rng, size, palette, sun)
    backdrop, glow = sky_scenery.draw_backdrop(size, palette, sun)
    return _Scene(
        spectra=(density, relief),
        backdrop=backdrop,
        ground=ground,
        sky_share=sky_share,
        cloud_light=_blend(palette.cloud_light, palette.sun, 0.5 * glow[..., None]),
        cloud_shadow=palette.cloud_shadow,
        veil=palette.veil,
        threshold=-float(scipy.special.ndtri(cover)),
        softness=softness,
        cloud_opacity=cloud_opacity,
    )


def _wave_numbers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the wave numbers in cycles per torus, [2 size, 1] and [1, size + 1]."""
    return scipy.fft.fftfreq(2 * size, 1 / (2 * size))[:, None], np.arange(size + 1)[None, :]


def _cloud_spectra(
    rng: np.random.Generator, size: int, steepness: float, light_angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a fractal field of unit variance and its slope toward the light, as two spectra for `_drift`."""
    shape = (2 * _MAX_WAVES, _MAX_WAVES)
    noise = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    kept = min(_MAX_WAVES, size)
    spectrum = np.zeros((2 * size, size + 1), np.complex64)
    spectrum[:kept, :kept] = noise[:kept, :kept]
    spectrum[-kept:, :kept] = noise[-kept:, :kept]
    wave_y, wave_x = _wave_numbers(size)
    radius = np.hypot(wave_y, wave_x)
    radius[0, 0] = np.inf  # no constant part: the cover is set by the threshold alone
    # No structure is finer than about six pixels, so that a small network can follow its motion. It is still too fine
    # for a latent to encode the position of every cloud instead of their motion.
    amplitude = (2.0 + radius) ** -steepness * np.exp(-((radius / (0.33 * size)) ** 4)) * np.isfinite(radius)
    density = spectrum * amplitude
    density *= 1.0 / scipy.fft.irfft2(density).std()
    # The slope is the difference from the same field a little closer to the light.
    step = 0.05
    towards_light = np.exp(2j * np.pi * step * (wave_x * np.cos(light_angle) - wave_y * np.sin(light_angle)) / 2.0)
    relief = density * (1.0 - towards_light)
    relief = relief / scipy.fft.irfft2(relief).std()
    return density.astype(np.complex64), relief.astype(np.complex64)


def _drift(spectrum: np.ndarray, shifts: np.ndarray, size: int) -> np.ndarray:
    """Returns the field moved by each (dx, dy) of `shifts` [T, 2], in pixels; float32 [T, size, size]."""
    wave_y, wave_x = _wave_numbers(size)
    turn = -2j * np.pi / (2 * size)
    phase_x = np.exp(turn * shifts[:, :1, None] * wave_x).astype(np.complex64)
    phase_y = np.exp(turn * shifts[:, 1:, None] * wave_y).astype(np.complex64)
    rows = scipy.fft.ifft(spectrum * phase_y * phase_x, axis=1)[:, :size]
    return scipy.fft.irfft(rows, n=2 * size, axis=2)[:, :, :size]


def _veil_share(motion: Motion, times: Sequence[float], size: int) -> np.ndarray:
    """Returns the veil's opacity relative to its maximum, [T, size, size] in [0, 1], 0 everywhere at time 0."""
    radians = np.radians(motion.angle)
    wind_x, wind_y = np.cos(radians), -np.sin(radians)
    centers = (np.arange(size) + 0.5) / size - 0.5
    downwind = centers[None, :] * wind_x + centers[:, None] * wind_y
    windward_edge = -0.5 * (abs(wind_x) + abs(wind_y))
    front = windward_edge + _VEIL_SPEED * motion.speed * np.asarray(times, np.float64)
    return _smoothstep((front[:, None, None] - downwind) / _VEIL_RIM - 0.5)


def _blend(a: np.ndarray, b: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    return a + (b - a) * share


def _smoothstep(x: np.ndarray) -> np.ndarray:
    """Returns a smooth step, 0 below x = -0.5 and 1 above 0.5."""
    x = np.clip(x + 0.5, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


class SkySource(ProceduralSource):
    """One split of `sky`, with the label "direction"."""

    dataset = "sky"
    label_names = ("direction",)

    def draw(self, video: int, frame_indices: Sequence[int]) -> np.ndarray:
        return render(self.split, video, self.size, frame_indices)

    def labels(self, video: int, frame_indices: Sequence[int]) -> dict[str, Any]:
        return {"direction": np.int32(directions.direction_bin(sky_motion(self.split, video).angle))}
