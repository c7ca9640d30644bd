"""The scenes of `plants`: colors, the soft background, and the shapes of the plants.

Everything that a plant's motion depends on is visible: thick stems are stiff, long and heavily loaded ones swing
slowly. Lengths are in frame widths from the upper left corner.
"""

import dataclasses

import numpy as np

from i2v_jax.input.procedural.plants_drawing import Look
from i2v_jax.input.procedural.plants_mechanics import Chain

_SEGMENTS = 5  # links of a stem


@dataclasses.dataclass(frozen=True, eq=False)
class Plant:
    """One plant: the mechanics and the look of its links."""

    chain: Chain
    look: Look


def _rgb(color: str) -> np.ndarray:
    return np.array(list(bytes.fromhex(color)), np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Room:
    """The colors of a background, RGB in [0, 255]."""

    top: np.ndarray
    horizon: np.ndarray  # the color that distant plants fade into
    far: np.ndarray  # ground
    near: np.ndarray


_ROOMS = tuple(
    Room(*(_rgb(color) for color in colors))
    for colors in (
        ("f6e7cf", "fff6e6", "c9a27e", "8f6a4c"),  # cream wall, wooden table
        ("b9d4ea", "eef5f6", "b9ad93", "7d6c55"),  # pale sky, sand
        ("d7e3cf", "f4f6ea", "9c8a6c", "655540"),  # morning mist, soil
        ("d9d3e8", "f6f0f4", "a79aa6", "6f6273"),  # lavender wall, slate
        ("f3d3c0", "fbeee2", "a9866c", "6f5241"),  # apricot evening, clay
    )
)
# Leaves: light and dark half.
_LEAVES = tuple(
    (_rgb(light), _rgb(dark))
    for light, dark in (
        ("6fb03f", "2f6e2c"),
        ("4f9f5a", "1f5a3c"),
        ("9ab63a", "56762a"),
        ("3f9a86", "175a58"),
        ("b0553f", "6e2436"),  # coleus
    )
)
_FLOWERS = tuple(
    (_rgb(light), _rgb(dark), _rgb(center))
    for light, dark, center in (
        ("f0584a", "c22c3c", "ffd98a"),
        ("f9c33a", "e08a1e", "7a4a1e"),
        ("a86fd0", "6f3fa4", "ffe9a0"),
        ("f58fb4", "d2527f", "fff0c4"),
        ("5f86e6", "3450b0", "fff0b0"),
    )
)


def draw_room(rng: np.random.Generator) -> Room:
    """Returns a random room."""
    return _ROOMS[int(rng.integers(len(_ROOMS)))]


def draw_background(rng: np.random.Generator, room: Room, size: int) -> np.ndarray:
    """Returns a softly lit room or landscape without detail, float32 [3, H, W] in [0, 255]."""
    y, x = (np.arange(size)[:, None] + 0.5) / size, (np.arange(size)[None, :] + 0.5) / size
    wall = room.top + (room.horizon - room.top) * np.clip(y / 0.75, 0.0, 1.0)[..., None]
    light = np.ones((size, size))
    for _ in range(4):  # blurred light and shade
        center_x, center_y, radius = rng.uniform(0.0, 1.0), rng.uniform(0.0, 0.75), rng.uniform(0.10, 0.22)
        nearness = np.maximum(1.0 - 0.5 * ((x - center_x) ** 2 + (y - center_y) ** 2) / radius**2, 0.0)
        light += rng.uniform(-0.10, 0.07) * nearness**3
    image = wall * light[..., None]
    level = rng.uniform(0.80, 0.86) + 0.02 * np.sin(np.pi * (rng.uniform(0.5, 1.5) * x + rng.uniform(0.0, 2.0)))
    ground = room.far + (room.near - room.far) * np.clip((y - level) / (1.0 - level), 0.0, 1.0)[..., None]
    image += (ground - image) * np.clip((y - level) * size * 0.3 + 0.5, 0.0, 1.0)[..., None]
    return np.ascontiguousarray(np.clip(image, 0.0, 255.0).transpose(2, 0, 1), np.float32)


def draw_plants(rng: np.random.Generator, haze: np.ndarray) -> tuple[Plant, ...]:
    """Returns two or three random plants, the farthest first."""
    count = int(rng.integers(2, 4))
    places = (np.arange(count) + rng.uniform(0.3, 0.7, count)) / count
    depths = np.sort(rng.permutation(np.linspace(0.0, 1.0, count)) + rng.uniform(-0.1, 0.1, count))[::-1].clip(0.0, 1.0)
    order = rng.permutation(count)
    return tuple(_draw_plant(rng, places[order[i]], depths[i], haze) for i in range(count))


@dataclasses.dataclass(frozen=True, eq=False)
class _Link:
    """One link of a plant, see `Chain` and `Look`."""

    parent: int
    angle: float
    length: float
    mass: float
    balance: float
    stiffness: float
    radius: tuple[float, float]
    center: float
    half: float
    light: np.ndarray
    dark: np.ndarray


def _draw_plant(rng: np.random.Generator, place: float, depth: float, haze: np.ndarray) -> Plant:
    """Returns a random plant at the horizontal `place` in [0, 1] and at `depth`, from 0 (near) to 1 (far)."""
    scale = 1.0 - 0.35 * depth
    height, thickness = scale * rng.uniform(0.56, 0.74), scale * rng.uniform(0.032, 0.048)
    leaf = _LEAVES[int(rng.integers(len(_LEAVES)))]
    links = _stem(rng, height, thickness, *leaf)
    blooms = rng.random() < 0.45
    links += _leaves(rng, links, scale, 0 if blooms else 1, *leaf)
    links += _flower(rng, links, scale) if blooms else _tip(rng, links[_SEGMENTS - 1], scale, *leaf)
    column = {
        field.name: np.array([getattr(link, field.name) for link in links]) for field in dataclasses.fields(_Link)
    }
    chain = Chain(
        root=np.array([0.08 + 0.84 * place, 1.01 - 0.13 * depth]),
        frequency=0.075 * float(np.clip(np.sqrt(0.55 / height * thickness / 0.037), 0.7, 1.35)),
        damping=0.28,
        **{name: column[name] for name in ("parent", "angle", "length", "mass", "balance", "stiffness")},
    )
    faded = {name: column[name] + (haze - column[name]) * (0.45 * depth) for name in ("light", "dark")}
    return Plant(chain, Look(_SEGMENTS, *(column[name] for name in ("radius", "center", "half")), **faded))


def _stem(
    rng: np.random.Generator, height: float, thickness: float, light: np.ndarray, dark: np.ndarray
) -> list[_Link]:
    lean, bend = rng.uniform(-0.12, 0.12), rng.uniform(-0.35, 0.35)
    links = []
    for i in range(_SEGMENTS):
        first, last = (thickness * (1.0 - 0.45 * (i + end) / _SEGMENTS) for end in (0, 1))
        links.append(
            _Link(
                parent=i - 1,
                angle=lean + bend * i / _SEGMENTS,
                length=height / _SEGMENTS,
                mass=20.0 * first * height / _SEGMENTS,
                balance=0.5,
                stiffness=(first / thickness) ** 2,
                radius=(first, last),
                center=0.5,
                half=0.5,
                light=0.9 * light,
                dark=0.75 * dark,
            )
        )
    return links


def _blade(parent: int, angle: float, length: float, width: float, light: np.ndarray, dark: np.ndarray) -> _Link:
    area = length * width
    return _Link(parent, angle, length, 12.0 * area, 0.5, 24.0 * area, (width, width), 0.5, 0.5, light, dark)


def _leaves(
    rng: np.random.Generator, stem: list[_Link], scale: float, lowest: int, light: np.ndarray, dark: np.ndarray
) -> list[_Link]:
    """Returns leaves on alternate sides, smaller toward the top."""
    side = rng.choice([-1.0, 1.0])
    links = []
    for node in range(lowest, _SEGMENTS - 1):
        length = scale * rng.uniform(0.25, 0.31) * (1.0 - 0.1 * node)
        angle = stem[node].angle + side * rng.uniform(0.85, 1.15)
        links.append(_blade(node, angle, length, 0.36 * length, light, dark))
        side = -side
    return links


def _tip(rng: np.random.Generator, top: _Link, scale: float, light: np.ndarray, dark: np.ndarray) -> list[_Link]:
    """Returns a leaf that continues the stem, between two others."""
    length = scale * rng.uniform(0.22, 0.27)
    turns = (-0.75, 0.75, rng.uniform(-0.15, 0.15))
    return [_blade(_SEGMENTS - 1, top.angle + turn, length, 0.34 * length, light, dark) for turn in turns]


def _flower(rng: np.random.Generator, links: list[_Link], scale: float) -> list[_Link]:
    """Returns a round flower head and its center, joined so stiffly that both move as one."""
    radius = scale * rng.uniform(0.11, 0.14)
    light, dark, center = _FLOWERS[int(rng.integers(len(_FLOWERS)))]
    top = links[_SEGMENTS - 1]
    head = _blade(_SEGMENTS - 1, top.angle, radius, radius, light, dark)
    head = dataclasses.replace(head, mass=2.0 * head.mass, stiffness=2.0 * head.stiffness, center=1.0, half=1.0)
    heart = _blade(len(links), top.angle, 0.42 * radius, 0.42 * radius, center, 0.85 * center)
    return [head, dataclasses.replace(heart, stiffness=30.0 * head.stiffness, center=0.0, half=1.0)]
