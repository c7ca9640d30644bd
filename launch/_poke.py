"""Pokes as text, and what `sample` writes of them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from i2v_jax import media
from i2v_jax.errors import UserError
from i2v_jax.input.coordinates import Scaling, numbers
from i2v_jax.launch import _synthesis
from i2v_jax.media import images
from i2v_jax.media.paths import unique_names

if TYPE_CHECKING:
    from i2v_jax.sampling.generator import Description
    from i2v_jax.sampling.poke import PokeGenerator

POKE = flags.DEFINE_multi_string(
    "poke",
    [],
    "A poke x,y,dx,dy: moves pixel (x, y) by (dx, dy), in pixels of the upright image file; (0, 0) is the upper left "
    "corner, and y points down. Each poke gives a video of its own, or with --in_turn all of them give one video.",
)
IN_TURN = flags.DEFINE_bool(
    "in_turn", False, "Apply each poke to the last frame of the video of the poke before it, and write one video."
)
CORRELATION = flags.DEFINE_multi_string(
    "correlation",
    [],
    "A pixel x,y: writes a heat map of the parts of the image that move with it, from 100 random pokes.",
)


@dataclasses.dataclass(frozen=True)
class Row(_synthesis.Row):
    """One poke of one image."""

    position: np.ndarray  # [2], in the model's pixels
    displacement: np.ndarray  # [2]
    impulse: bool

    @property
    def draw(self) -> _synthesis.Draw:
        return _marks(self.position[None], self.displacement[None], impulse=self.impulse)


@dataclasses.dataclass(frozen=True)
class PokedImage:
    """What the flags request of one image, in the model's pixels."""

    name: str
    start_frame: np.ndarray  # [H, W, 3]
    positions: np.ndarray  # [P, 2]
    displacements: np.ndarray  # [P, 2]
    correlations: list[np.ndarray]  # positions [2]
    impulse: bool

    def rows(self) -> list[Row]:
        """Returns one row for each poke."""
        return [
            Row(f"{self.name}_{index:02d}", self.start_frame, *poke, self.impulse)
            for index, poke in enumerate(zip(self.positions, self.displacements, strict=True))
        ]


def requested(paths: Sequence[str], start_frames: np.ndarray, about: "Description", crop: str) -> list[PokedImage]:
    """Returns what --poke and --correlation request of every image.

    Raises:
        UserError: a poke does not fit its image; no poke is given; flags of the poke model, for a model that samples.
    """
    if not about.deterministic:
        _synthesis.refuse(
            "correlation", "in_turn", why="only for the poke model; this model draws samples of each poke"
        )
    if not POKE.value and not CORRELATION.value:
        more = " or --correlation=x,y" if about.deterministic else ""
        raise UserError(f"this model needs a poke: give --poke=x,y,dx,dy{more}", field="poke")
    found = []
    for name, path, start_frame in zip(unique_names(paths), paths, start_frames, strict=True):
        height, width = images.read_rgb(Path(path)).shape[:2]
        scaling = Scaling(width, height, about.size, crop)
        pairs = [scaling.poke(*numbers("--poke", text, "x,y,dx,dy"), impulse=about.impulse) for text in POKE.value]
        positions, displacements = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
        places = [scaling.position(*numbers("--correlation", text, "x,y")) for text in CORRELATION.value]
        found.append(PokedImage(name, start_frame, positions, displacements, places, about.impulse))
    return found


def write_correlations(generator: "PokeGenerator", output: _synthesis.Output, image: PokedImage) -> None:
    """Writes a heat map for each --correlation."""
    from i2v_jax.sampling.poke import likeness

    for index, place in enumerate(image.correlations):
        heat = media.heat(image.start_frame, likeness(generator.structure(image.start_frame, place)))
        output.picture(f"{image.name}_correlation_{index:02d}", heat)


def write_in_turn(generator: "PokeGenerator", output: _synthesis.Output, image: PokedImage, frames: int | None) -> None:
    """Writes one video of all pokes, each with its start frame before its answer."""
    video = generator.respond_in_turn(image.start_frame, image.positions, image.displacements, frames)
    answers = np.split(video, len(image.positions))
    starts = [image.start_frame, *(part[-1] for part in answers[:-1])]
    whole = np.concatenate([media.with_start(*both) for both in zip(starts, answers, strict=True)])
    marks = _marks(image.positions, image.displacements, impulse=image.impulse)
    output.video(f"{image.name}_in_turn", whole, marks)


def _marks(positions: np.ndarray, displacements: np.ndarray, *, impulse: bool) -> _synthesis.Draw:
    """Splits a video into a part for every poke and draws the poke there."""

    def draw(video: media.Pixels, scale: int) -> media.Pixels:
        parts = zip(np.split(video, len(positions)), positions, displacements, strict=True)
        return np.concatenate([media.poked(part, scale, *poke, impulse=impulse) for part, *poke in parts])

    return draw
