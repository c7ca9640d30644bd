"""Pokes as text, and what `sample` does with a poke model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from i2v_jax import media
from i2v_jax.errors import UserError
from i2v_jax.input import images
from i2v_jax.input.coordinates import Scaling, numbers
from i2v_jax.launch import _synthesis
from i2v_jax.sampling.poke_synthesizer import PokeSynthesizer, likeness

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
class Asked:
    """What is asked of one image, in the model's pixels."""

    positions: np.ndarray  # [P, 2]
    displacements: np.ndarray  # [P, 2]
    correlations: list[np.ndarray]  # positions [2]


def requested(paths: Sequence[str], size: int, crop: str, *, impulse: bool) -> list[Asked]:
    """What --poke and --correlation ask of every image. Raises UserError for what does not fit it, and for nothing."""
    if not (POKE.value or CORRELATION.value):
        raise UserError("this is a poke model: give --poke=x,y,dx,dy, or --correlation=x,y")
    asked = []
    for path in paths:
        height, width = images.read_rgb(Path(path)).shape[:2]
        scaling = Scaling(width, height, size, crop)
        pairs = [scaling.poke(*numbers("--poke", text, "x,y,dx,dy"), impulse=impulse) for text in POKE.value]
        positions, displacements = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
        places = [scaling.position(*numbers("--correlation", text, "x,y")) for text in CORRELATION.value]
        asked.append(Asked(positions, displacements, places))
    return asked


@dataclasses.dataclass(frozen=True)
class Row(_synthesis.Row):
    """One poke of one image."""

    position: np.ndarray  # [2], in the model's pixels
    displacement: np.ndarray  # [2]

    @property
    def draw(self) -> _synthesis.Draw:
        return _marks(self.position[None], self.displacement[None], impulse=False)


def rows(paths: Sequence[str], start_frames: np.ndarray, size: int, crop: str) -> list[Row]:
    """What --poke asks of every image, of a model that draws several answers to each poke.

    Raises:
        UserError: as `requested`; for flags of the poke model, whose answer is one.
    """
    _synthesis.refuse("correlation", "in_turn", why="for the poke model; this one draws samples of each poke")
    if not POKE.value:
        raise UserError("this model answers to pokes: give --poke=x,y,dx,dy")
    images_asked = zip(
        images.unique_names(paths), start_frames, requested(paths, size, crop, impulse=False), strict=True
    )
    return [
        Row(f"{name}_{number:02d}", start_frame, *poke)
        for name, start_frame, asked in images_asked
        for number, poke in enumerate(zip(asked.positions, asked.displacements, strict=True))
    ]


def answer(
    synthesizer: PokeSynthesizer,
    names: Sequence[str],
    start_frames: np.ndarray,
    asked: Sequence[Asked],
    frames: int | None,
) -> None:
    """Writes the answers of every image."""
    output = _synthesis.Output(_synthesis.OUT.value, _synthesis.FPS.value, _synthesis.SCALE.value, synthesizer.size)
    for name, start_frame, wishes in zip(names, start_frames, asked, strict=True):
        if len(wishes.positions) and IN_TURN.value:
            _write_in_turn(synthesizer, output, name, start_frame, wishes, frames)
        elif len(wishes.positions):
            _write_each(synthesizer, output, name, start_frame, wishes, frames)
        for number, place in enumerate(wishes.correlations):
            heat = media.heat(start_frame, likeness(synthesizer.structure(start_frame, place)))
            output.picture(f"{name}_correlation_{number:02d}", heat)


def _write_each(
    synthesizer: PokeSynthesizer,
    output: _synthesis.Output,
    name: str,
    start_frame: np.ndarray,
    asked: Asked,
    frames: int | None,
) -> None:
    videos = synthesizer.respond(start_frame[None], asked.positions, asked.displacements, frames)
    for number, video in enumerate(videos):
        chosen = slice(number, number + 1)
        marks = _marks(asked.positions[chosen], asked.displacements[chosen], impulse=synthesizer.impulse)
        output.video(f"{name}_{number:02d}", media.with_start(start_frame, video), marks)


def _write_in_turn(
    synthesizer: PokeSynthesizer,
    output: _synthesis.Output,
    name: str,
    start_frame: np.ndarray,
    asked: Asked,
    frames: int | None,
) -> None:
    """One video, every poke's start frame before its answer."""
    video = synthesizer.respond_in_turn(start_frame, asked.positions, asked.displacements, frames)
    answers = np.split(video, len(asked.positions))
    starts = [start_frame, *(part[-1] for part in answers[:-1])]
    whole = np.concatenate([media.with_start(*both) for both in zip(starts, answers, strict=True)])
    marks = _marks(asked.positions, asked.displacements, impulse=synthesizer.impulse)
    output.video(f"{name}_in_turn", whole, marks)


def _marks(positions: np.ndarray, displacements: np.ndarray, *, impulse: bool) -> _synthesis.Draw:
    """Cuts a video into a part for every poke and draws it there."""

    def draw(video: media.Pixels, scale: int) -> media.Pixels:
        parts = zip(np.split(video, len(positions)), positions, displacements, strict=True)
        return np.concatenate([media.poked(part, scale, *poke, impulse=impulse) for part, *poke in parts])

    return draw
