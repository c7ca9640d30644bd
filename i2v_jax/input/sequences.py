"""Clips of varying length: all clips of a batch have as many frames, and are of one kind.

The release of the poke model trains its sequence model so: far motion in long clips, little motion in short ones, and
whole batches of pokes of the background.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from i2v_jax.errors import UserError
from i2v_jax.input.clips import ClipOrder, Place, ReadClip
from i2v_jax.input.flow_store import longest_by_start
from i2v_jax.input.poke_reader import PokeKind, ReadPokedClip

_KIND, _DRAW = 6, 7  # streams of random numbers, in addition to those of `poke_reader`


@dataclasses.dataclass(frozen=True)
class BatchKinds:
    """The kinds of batches and how likely they are: one of each length, and one of the background of any length."""

    shortest: int  # frames after the start frame
    longest: int
    background_weight: float
    longest_weight: float  # all shorter lengths have a weight of 1
    amplitude_cutoff: float  # the part of [0, this] that a length has is that of its pokes; 0: pokes are not restricted
    seed: int

    @property
    def lengths(self) -> range:
        """The numbers of frames after the start frame."""
        return range(self.shortest, self.longest + 1)

    def amplitudes(self, index: int) -> tuple[float, float]:
        """Returns the range of amplitudes, normalized to [0, 1], of pokes in clips of `lengths[index]`."""
        width = self.amplitude_cutoff / len(self.lengths)
        return index * width, (index + 1) * width

    def at(self, step: int) -> tuple[int, bool]:
        """Returns (index of the length, whether pokes are on the background) of a step of training."""
        rng = np.random.default_rng([self.seed, step, _KIND])
        weights = np.array([self.background_weight, *[1.0] * (len(self.lengths) - 1), self.longest_weight])
        kind = int(rng.choice(len(weights), p=weights / weights.sum()))
        return (int(rng.integers(len(self.lengths))), True) if kind == 0 else (kind - 1, False)


@dataclasses.dataclass(frozen=True)
class ReadSequence:
    """Maps a position to a clip whose length and kind depend on the step: training clips, drawn with replacement."""

    poked: ReadPokedClip
    kinds: BatchKinds
    clips: tuple[tuple[np.ndarray, ...], ...]  # of each length, and of each object that shall be equally likely

    @property
    def order(self) -> ClipOrder:
        return self.poked.order

    def in_order(self, order: ClipOrder) -> "ReadSequence":
        """Returns a reader of the same clips in another order, of which the seed and the size of batches matter."""
        return dataclasses.replace(self, poked=self.poked.in_order(order))

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shape and type of every array of the longest clips; only the length of videos varies."""
        return self.poked.spec

    def __call__(self, position: int) -> dict[str, Any]:
        return self.read_for_step(int(position), int(position) // self.order.batch_size)

    def read_for_step(self, position: int, step: int) -> dict[str, Any]:
        """Returns the clip of a position for the batch of a step, which decides on its length and its kind."""
        index, background = self.kinds.at(step)
        within = self.kinds.amplitudes(index) if self.kinds.amplitude_cutoff and not background else None
        kind = PokeKind(1 + self.kinds.lengths[index], background, within)

        def draw(rng: np.random.Generator) -> int:
            clips = self.clips[index][int(rng.integers(len(self.clips[index])))]
            return int(clips[int(rng.integers(len(clips)))])

        clip = draw(np.random.default_rng([self.order.seed, position, _DRAW]))
        return self.poked.read(Place(position, clip), kind, draw)


def in_sequences(poked: ReadPokedClip, data: ConfigDict, objects: tuple[np.ndarray, ...]) -> ReadSequence:
    """Returns a reader of training clips whose length varies as `data.poke.sequence` says.

    Args:
        poked: reads clips of `data.frames`, the longest.
        data: the `data` part of a configuration.
        objects: the clips of each object, to draw all objects with equal probability; empty: all clips.

    Raises:
        UserError: the lengths do not fit the clips, or the motion of clips is not known, or is too little for a length.
    """
    fields, longest = data.poke.sequence, data.frames - 1
    if fields.shortest > longest:
        raise UserError(
            f"invalid value for data.poke.sequence.shortest: {fields.shortest} (must be less than "
            f"data.frames={data.frames})",
            "data.poke.sequence.shortest",
            fields.shortest,
        )
    kinds = BatchKinds(longest=longest, seed=poked.order.seed, **fields)
    groups = objects or (np.arange(poked.order.num_clips),)
    if not kinds.amplitude_cutoff:
        return ReadSequence(poked, kinds, (groups,) * len(kinds.lengths))
    motion = _motion(poked, data)
    clips = []
    for index, length in enumerate(kinds.lengths):
        least, _ = kinds.amplitudes(index)
        moving = tuple(chosen for group in groups if len(chosen := group[motion[group] > least]))
        if not moving:
            raise UserError(
                f"nothing in {data.name} moves by more than {least:.2f} of its largest motion, as clips with "
                f"{length} frames after the first shall: lower data.poke.sequence.amplitude_cutoff",
                "data.poke.sequence.amplitude_cutoff",
                kinds.amplitude_cutoff,
            )
        clips.append(moving)
    return ReadSequence(poked, kinds, tuple(clips))


def _motion(poked: ReadPokedClip, data: ConfigDict) -> np.ndarray:
    """Returns the length of the longest flow vector of each clip, in shares of the longest one of the data set."""
    store, distance = poked.pokes.store, poked.settings.distance(data)
    if store is None or data.clips_per_video.train:
        raise UserError(
            "data.poke.sequence.amplitude_cutoff needs the motion of all clips before they are read: set "
            "data.poke.flow=stored and data.clips_per_video.train=0, or a cutoff of 0",
            "data.poke.sequence.amplitude_cutoff",
            data.poke.sequence.amplitude_cutoff,
        )
    reader: ReadClip = poked.clips
    unit = 0 if data.crop == "resize" else 1
    found = [longest_by_start(store.path(video, distance))[reader.starts_of(video), unit] for video in reader.videos]
    return np.concatenate(found) / store.longest(distance)[unit]
