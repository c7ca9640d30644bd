"""The still parts of `sky`: colors, the clear sky with its sun, and the ground."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Palette:
    """The colors of one time of day: float64 [3], RGB in [0, 255]."""

    zenith: np.ndarray
    horizon: np.ndarray
    cloud_light: np.ndarray
    cloud_shadow: np.ndarray
    ground: np.ndarray
    sun: np.ndarray
    veil: np.ndarray

    def mix(self, other: "Palette", share: float) -> "Palette":
        """Returns the linear interpolation with another palette, whose weight is `share`."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))
        return Palette(*(a + (b - a) * share for a, b in pairs))


def _palette(*colors: str) -> Palette:
    return Palette(*(np.array(list(bytes.fromhex(color)), np.float64) for color in colors))


# In the order of the day, so that mixtures of neighbors are plausible. All are about equally bright: the decoder's
# normalization removes brightness, and the latent would have to carry it.
_DAY = (
    _palette("2f6cc0", "b5d6f0", "ffffff", "8fa3c0", "2c4a2a", "fffbe8", "f0c8a4"),  # noon
    _palette("3d84d0", "c8e2f2", "ffffff", "94a9c4", "43592c", "fffdf0", "f0ccac"),  # bright noon
    _palette("3a6fb4", "d6d4d0", "fff6e6", "98a0b4", "3c4426", "fff4d8", "ecb890"),  # afternoon
)


@dataclasses.dataclass(frozen=True)
class Sun:
    """The sun or moon: its center in frame widths from the upper left corner, and its radius."""

    x: float
    y: float
    radius: float


def draw_palette(rng: np.random.Generator) -> Palette:
    """Returns a random mixture of two neighboring times of day."""
    hour = int(rng.integers(len(_DAY)))
    return _DAY[hour].mix(_DAY[(hour + 1) % len(_DAY)], float(rng.uniform(0.0, 0.45)))


def draw_sun(rng: np.random.Generator) -> Sun:
    """Returns a random sun."""
    return Sun(float(rng.uniform(0.05, 0.95)), float(rng.uniform(0.1, 0.75)), float(rng.uniform(0.03, 0.06)))


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixel centers in frame widths, y [H, 1] and x [1, W]."""
    centers = (np.arange(size) + 0.5) / size
    return centers[:, None], centers[None, :]


def draw_backdrop(size: int, palette: Palette, sun: Sun) -> tuple[np.ndarray, np.ndarray]:
    """Returns the clear sky, float32 [H, W, 3] in [0, 255], and the sun's glow, [H, W] in [0, 1]."""
    y, x = _grid(size)
    share = np.clip(y / 0.85, 0.0, 1.0)[..., None] ** 1.3
    sky = np.broadcast_to(palette.zenith + (palette.horizon - palette.zenith) * share, (size, size, 3))
    distance = np.hypot(y - sun.y, x - sun.x)
    glow = np.exp(-((distance / 0.28) ** 1.5))
    disc = np.clip((sun.radius - distance) * size + 0.5, 0.0, 1.0)
    light = np.maximum(0.55 * glow, disc)[..., None]
    return (sky + (palette.sun - sky) * light).astype(np.float32), glow.astype(np.float32)


def draw_ground(rng: np.random.Generator, size: int, palette: Palette, sun: Sun) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of sky per pixel, float32 [H, W] in [0, 1], and the ground's colors, [H, W, 3] in [0, 255]."""
    kind = ("hills", "mountains", "trees", "city", "sea")[int(rng.integers(5))]
    y, x = _grid(size)
    base = rng.uniform(0.10, 0.18)
    back = base + 0.05 + 0.05 * _ridge(rng, x[0], roughness=1.0)
    front = {"hills": _hills, "mountains": _mountains, "trees": _trees, "city": _city, "sea": _sea}[kind](
        rng, x[0], base
    )
    top = 1.0 - np.maximum(front, 0.0 if kind in {"sea", "mountains"} else back)
    sky_share = np.clip((top[None, :] - y) * size + 0.5, 0.0, 1.0)
    far = palette.ground + (palette.horizon - palette.ground) * 0.45
    in_front = np.clip((y - (1.0 - front)[None, :]) * size + 0.5, 0.0, 1.0)[..., None]
    depth = np.clip((y - top[None, :]) / 0.2, 0.0, 1.0)[..., None]
    near = _water(palette, sun, x, depth) if kind == "sea" else palette.ground * (1.25 - 0.5 * depth)
    return sky_share.astype(np.float32), (far + (near - far) * in_front).astype(np.float32)


def _ridge(rng: np.random.Generator, x: np.ndarray, roughness: float) -> np.ndarray:
    """Returns a random curve over x [W] with values in about [-1, 1]; `roughness` adds fine structure."""
    waves = np.arange(1, 9)[:, None]
    amplitude = rng.standard_normal((8, 1)) * waves ** (-2.0 + roughness)
    line = (amplitude * np.sin(np.pi * waves * x + rng.uniform(0.0, 2.0 * np.pi, (8, 1)))).sum(0)
    return line / (np.abs(line).max() + 1e-6)


def _hills(rng: np.random.Generator, x: np.ndarray, base: float) -> np.ndarray:
    return base + 0.05 * _ridge(rng, x, roughness=0.2)


def _mountains(rng: np.random.Generator, x: np.ndarray, base: float) -> np.ndarray:
    """Returns the height of mountains, the maximum of a few triangles."""
    count = int(rng.integers(2, 5))
    centers, heights = rng.uniform(0.0, 1.0, (count, 1)), rng.uniform(0.1, 0.22, (count, 1))
    slopes = rng.uniform(0.4, 0.9, (count, 1))
    return base + np.maximum((heights - slopes * np.abs(x - centers)).max(0), 0.0) + 0.01 * _ridge(rng, x, 1.5)


def _trees(rng: np.random.Generator, x: np.ndarray, base: float) -> np.ndarray:
    """Returns the height of conifers on a gentle slope."""
    count = 12
    centers = (np.arange(count)[:, None] + rng.uniform(0.0, 1.0, (count, 1))) / count
    heights = rng.uniform(0.04, 0.14, (count, 1))
    return base + 0.02 * _ridge(rng, x, 0.0) + np.maximum((heights - 2.5 * np.abs(x - centers)).max(0), 0.0)


def _city(rng: np.random.Generator, x: np.ndarray, base: float) -> np.ndarray:
    """Returns the height of blocks of different widths and heights."""
    edges = np.sort(rng.uniform(0.0, 1.0, 9))
    return base + rng.choice([0.0, 0.03, 0.06, 0.1, 0.16], 10)[np.searchsorted(edges, x)]


def _sea(rng: np.random.Generator, x: np.ndarray, base: float) -> np.ndarray:
    return np.full_like(x, base + rng.uniform(0.05, 0.12))


def _water(palette: Palette, sun: Sun, x: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Returns water that mirrors the sky, darker toward the viewer, with a glint below the sun."""
    water = palette.horizon * 0.75 + (palette.zenith * 0.5 - palette.horizon * 0.75) * depth
    glint = np.exp(-(((x - sun.x) / 0.08) ** 2))[..., None] * (1.0 - depth) * 0.5
    return water + (palette.sun - water) * glint
