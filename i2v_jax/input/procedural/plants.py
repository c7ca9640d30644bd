"""`plants`: a procedural data set of articulated plants that are pulled, with exact flow, masks and responses.

A clip is a function of (split, index), so nothing is downloaded or stored. Each plant is a chain of damped pendulums
(`plants_mechanics`) and is at rest in frame 0. From then on a constant force pulls at one point of a plant, sometimes
of two plants. The force is chosen so that the point has moved by a given displacement in frame 10, the last one. The
true response of the same scene to any other poke is therefore known as well: `respond`. In a breeze the other plants
may bend to the same side, each by a random amount that the poke does not determine. Clips with another number of frames
show the same motion at other times (`clip_times`).

Everything is drawn in units of the frame, so an index shows the same scene at every size. The center of pixel (x, y) is
at (x + 0.5, y + 0.5).
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from i2v_jax.input.procedural import plants_drawing, plants_scene
from i2v_jax.input.procedural.plants_mechanics import Grip, Pose
from i2v_jax.input.procedural.source import SPLIT_SEEDS, ProceduralSource

LAST_FRAME = 10  # where a pulled point has its displacement
_APPEARANCE, _MOTION = 0, 1
_SECOND_PLANT = 0.25  # probability that two plants are pulled
# Displacement of a plant's upper parts in frame widths; points less than _TALL above the root move proportionally less,
# by a factor of at least _LEAST.
_AMPLITUDE, _TALL, _LEAST = (0.08, 0.16), 0.5, 0.4
_CACHED = 64  # scenes; the frames, flow and mask of a clip are read one after the other
_SIDEWAYS = 0.6  # radians around the direction across the plant


@dataclasses.dataclass(frozen=True)
class Pull:
    """A point of a plant that is pulled, and its displacement in the last frame."""

    plant: int  # 0 is the farthest plant
    grip: Grip
    displacement: tuple[float, float]  # (dx, dy) in frame widths, y down


Pulls = tuple[Pull, ...]


def clip_times(frames: int) -> list[float]:
    """Returns the times at which the frames of a clip are drawn, evenly spaced from 0 (rest) to 10 (the displacement).

    A clip of 11 frames has the times 0, 1, ..., 10. Other lengths show the same motion slower or faster; a single frame
    shows the plants at rest.
    """
    return [frame * LAST_FRAME / max(frames - 1, 1) for frame in range(frames)]


@functools.lru_cache(maxsize=_CACHED)
def plants_motion(split: str, index: int, breeze: float = 0.0) -> Pulls:
    """Returns the motion of a clip: one plant, sometimes two, pulled at a random point in a random direction.

    With a `breeze` one plant is pulled, and the others move as `in_breeze` describes.
    """
    rng = np.random.default_rng([SPLIT_SEEDS[split], index, _MOTION])
    plants = _plants(split, index)
    order = rng.permutation(len(plants))
    if breeze:
        return in_breeze(split, index, _draw_pull(rng, plants[order[0]], int(order[0])), breeze, rng)
    chosen = order[: 2 if rng.random() < _SECOND_PLANT else 1]
    return tuple(_draw_pull(rng, plants[number], int(number)) for number in chosen)


def in_breeze(split: str, index: int, pull: Pull, breeze: float, rng: np.random.Generator) -> Pulls:
    """Returns a pull, followed by random pulls of the other plants of the scene.

    Each of the others bends with probability `breeze`, to the same side as the pulled plant, by a random amount.
    """
    plants = _plants(split, index)
    chain = plants[pull.plant].chain
    reach = chain.rest().at(pull.grip) - chain.root
    side = 1.0 if reach[0] * pull.displacement[1] - reach[1] * pull.displacement[0] > 0 else -1.0
    others = [number for number in range(len(plants)) if number != pull.plant and rng.random() < breeze]
    return pull, *(_draw_pull(rng, plants[number], number, side) for number in others)


def _draw_pull(rng: np.random.Generator, plant: plants_scene.Plant, number: int, side: float | None = None) -> Pull:
    """Returns a random pull. `side`: 1 for clockwise around the root, -1 for counterclockwise, None for any."""
    links = len(plant.chain.parent)
    grip = Grip(int(rng.integers(2, links)), float(rng.uniform(0.2, 0.9)))  # not at the root, which hardly moves
    reach = plant.chain.rest().at(grip) - plant.chain.root
    # Points near the root move less, so that the whole plant sways equally far wherever it is pulled.
    amplitude = rng.uniform(*_AMPLITUDE) * np.clip(np.hypot(*reach) / _TALL, _LEAST, 1.0)
    side = rng.choice([-1.0, 1.0]) if side is None else side
    angle = np.arctan2(reach[1], reach[0]) + side * 0.5 * np.pi + rng.uniform(-_SIDEWAYS, _SIDEWAYS)
    return Pull(number, grip, (float(amplitude * np.cos(angle)), float(amplitude * np.sin(angle))))


def pull_at(
    split: str, index: int, size: int, position: tuple[float, float], displacement: tuple[float, float]
) -> Pulls:
    """Returns the pull that corresponds to a poke.

    Args:
        split: "train", "eval" or "test".
        index: the clip.
        size: height and width of the frames in pixels.
        position: (x, y) of the poked pixel in frame 0.
        displacement: (dx, dy) in pixels.

    Returns:
        The pull of the frontmost plant at the position; no pull on the background.
    """
    x, y = (round(value) for value in position)
    if not (0 <= x < size and 0 <= y < size):
        return ()
    material = _material(split, index, size, 0.0)
    if material.plant[y, x] < 0:
        return ()
    grip = Grip(int(material.link[y, x]), *(float(value[y, x]) for value in material.coordinates))
    return (Pull(int(material.plant[y, x]), grip, (displacement[0] / size, displacement[1] / size)),)


def respond(
    split: str,
    index: int,
    position: tuple[float, float],
    displacement: tuple[float, float],
    *,
    size: int = 64,
    times: Sequence[float] = range(LAST_FRAME + 1),
) -> np.ndarray:
    """Returns the true response of a scene to a poke; the poked point has moved by `displacement` in frame 10.

    The arguments are those of `pull_at`, the result is that of `render`. A poke on the background moves nothing. A
    point that cannot be moved that far moves a part of the way (`plants_flow` returns how far).
    """
    return render(split, index, size, times, pull_at(split, index, size, position, displacement))


def render(split: str, index: int, size: int, times: Sequence[float], pulls: Pulls | None = None) -> np.ndarray:
    """Draws the frames of one clip.

    Args:
        split: "train", "eval" or "test".
        index: the clip, from 0 without an upper limit.
        size: height and width in pixels.
        times: the T times to draw, in frames; the plants are at rest until 0.
        pulls: replaces the clip's own motion.

    Returns:
        uint8 [T, size, size, 3], RGB.
    """
    image = _background(split, index, size)[:, None].copy()
    layer = None  # consecutive still plants in front of a moving one
    poses = _poses(split, index, times, plants_motion(split, index) if pulls is None else pulls)
    for plant, pose in zip(_plants(split, index), poses, strict=True):
        measured = plants_drawing.windows(pose, plant.look, size)
        if len(pose.start) < image.shape[1]:
            layer = _empty_layer(size) if layer is None else layer
            plants_drawing.paint(layer, measured, plant.look)
        else:
            image = _merge(image, layer) if len(pose.start) == image.shape[1] else np.repeat(image, len(times), axis=1)
            layer = None
            plants_drawing.paint(image, measured, plant.look)
    frames = (_merge(image, layer) + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 3, 0)
    return np.ascontiguousarray(np.broadcast_to(frames, (len(times), size, size, 3)))


def _empty_layer(size: int) -> np.ndarray:
    """Returns a transparent layer for `plants_drawing.paint`."""
    layer = np.zeros((4, 1, size, size), np.float32)
    layer[3] = 1.0
    return layer


def _merge(image: np.ndarray, layer: np.ndarray | None) -> np.ndarray:
    """Draws a layer over all frames of an image [3, F, H, W], in place."""
    if layer is not None:
        image *= layer[3]
        image += layer[:3]
    return image


def plants_mask(split: str, index: int, size: int, time: float = 0.0, pulls: Pulls | None = None) -> np.ndarray:
    """Returns which plant each pixel shows, int32 [size, size]: 0 is the background, 1 the farthest plant."""
    return _material_at(split, index, size, time, plants_motion(split, index) if pulls is None else pulls).plant + 1


def _material_at(split: str, index: int, size: int, time: float, pulls: Pulls) -> "_Material":
    """Returns `_material`, at rest until time 0 whatever the pulls."""
    return _material(split, index, size, time, pulls) if time > 0 else _material(split, index, size, 0.0)


def plants_flow(
    split: str, index: int, size: int, start: float = 0.0, end: float = LAST_FRAME, pulls: Pulls | None = None
) -> np.ndarray:
    """Returns the exact displacement from time `start` to `end` of the material that each pixel shows at `start`.

    The result is float32 [size, size, 2], (dx, dy) in pixels, 0 on the background. It is defined even where the
    material is hidden or outside of the frame at `end`.
    """
    pulls = plants_motion(split, index) if pulls is None else pulls
    material = _material_at(split, index, size, start, pulls)
    flow = np.zeros((size, size, 2), np.float32)
    for number, pose in enumerate(_poses(split, index, (start, end), pulls)):
        if len(pose.start) == 1:
            continue
        shown = material.plant == number
        link, (share, excess, across) = material.link[shown], (value[shown] for value in material.coordinates)
        along = share * pose.length[:, link] + excess
        places = pose.start[:, link] + along[..., None] * pose.axis[:, link] + across[:, None] * pose.normal[:, link]
        flow[shown] = size * (places[1] - places[0])
    return flow


@dataclasses.dataclass(frozen=True, eq=False)
class _Material:
    """The material that each pixel shows."""

    plant: np.ndarray  # int32 [H, W], -1 on the background
    link: np.ndarray  # int32 [H, W]
    coordinates: np.ndarray  # float64 [3, H, W]: share, excess and across of `Grip`


@functools.lru_cache(maxsize=_CACHED)
def _material(split: str, index: int, size: int, time: float, pulls: Pulls = ()) -> _Material:
    shown = np.full((size, size), -1, np.int32)
    links = np.zeros((size, size), np.int32)
    coordinates = np.zeros((3, size, size))
    plants = _plants(split, index)
    for number, (plant, pose) in enumerate(zip(plants, _poses(split, index, (time,), pulls), strict=True)):
        measured = plants_drawing.windows(pose, plant.look, size)
        for link, length in enumerate(pose.length[0]):
            place = measured.at(link)
            inside = measured.cover[link, 0] >= 0.5
            along, across = measured.along[link, 0][inside], measured.across[link, 0][inside]
            kept = np.clip(along, 0.0, length)
            shown[place][inside], links[place][inside] = number, link
            coordinates[:, *place][:, inside] = kept / length, along - kept, across
    return _Material(shown, links, coordinates)


def _poses(split: str, index: int, times: Sequence[float], pulls: Pulls) -> list[Pose]:
    """Returns the poses of all plants: at the T times for a moving plant, at a single time for one at rest."""
    moved = {pull.plant: pull for pull in pulls}
    poses = []
    for number, plant in enumerate(_plants(split, index)):
        if number in moved:
            force = _force(split, index, moved[number])
            poses.append(plant.chain.motion(moved[number].grip, force, np.asarray(times, np.float64)))
        else:
            poses.append(plant.chain.pose(np.zeros((1, 2 * len(plant.chain.parent)))))
    return poses


@functools.lru_cache(maxsize=2 * _CACHED)
def _force(split: str, index: int, pull: Pull) -> np.ndarray:
    """Returns the force of a pull, [2]."""
    chain = _plants(split, index)[pull.plant].chain
    return chain.pull_to(pull.grip, np.array(pull.displacement), LAST_FRAME)


@functools.lru_cache(maxsize=_CACHED)
def _plants(split: str, index: int) -> tuple[plants_scene.Plant, ...]:
    return plants_scene.draw_plants(
        np.random.default_rng([SPLIT_SEEDS[split], index, _APPEARANCE, 1]), _haze(split, index)
    )


def _haze(split: str, index: int) -> np.ndarray:
    return plants_scene.draw_room(np.random.default_rng([SPLIT_SEEDS[split], index, _APPEARANCE, 0])).horizon


@functools.lru_cache(maxsize=_CACHED)
def _background(split: str, index: int, size: int) -> np.ndarray:
    rng = np.random.default_rng([SPLIT_SEEDS[split], index, _APPEARANCE, 0])
    return plants_scene.draw_background(rng, plants_scene.draw_room(rng), size)


@dataclasses.dataclass(frozen=True)
class PlantsSource(ProceduralSource):
    """One split of `plants`, with exact flow and masks. Every clip shows the whole motion, whatever its length."""

    breeze: float = 0.0  # see `plants_motion`

    dataset = "plants"

    @property
    def largest_flow(self) -> float:
        """The length of the longest vector of `true_flow` over whole clips, in frame widths: 0.393 in 900 clips."""
        return 0.4

    def draw(self, video: int, frame_indices: Sequence[int]) -> np.ndarray:
        times = [self._time(frame) for frame in frame_indices]
        return render(self.split, video, self.size, times, self._pulls(video))

    def true_flow(self, video: int, start: int, end: int) -> np.ndarray:
        """Returns the flow from frame `start` to frame `end`, float32 [size, size, 2], see `plants_flow`."""
        return plants_flow(self.split, video, self.size, self._time(start), self._time(end), self._pulls(video))

    def true_mask(self, video: int, frame: int) -> np.ndarray:
        """Returns the mask of a frame, int32 [size, size], see `plants_mask`."""
        return plants_mask(self.split, video, self.size, self._time(frame), self._pulls(video))

    def _pulls(self, video: int) -> Pulls:
        return plants_motion(self.split, video, self.breeze)

    def _time(self, frame: int) -> float:
        return clip_times(self.frames)[frame]
