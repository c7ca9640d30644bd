"""Fréchet distances between the real and the generated set: of whole clips, of frames at each time, of all frames."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from i2v_jax.errors import UserError
from i2v_jax.metrics.accumulators import Moments
from i2v_jax.metrics.base import REAL, SPARE, Floor, Metric, Reads, Score, State, rows_of
from i2v_jax.metrics.frechet import (
    TRACE_METHOD,
    frechet_distance,
    frechet_distance_of_features,
    frechet_distance_per_frame,
)
from i2v_jax.metrics.kinds import clip_features

_DDOF = 1
_DIVISIONS = 5  # of the real clips, for a floor
# The real clips of a set of frames are kept in four random groups. Their sum is the whole set, and each way to pair
# them up divides it into halves for the floor. Clips that fill no group are a fifth.
_GROUPS = 4
_HALVES = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrechetMetric(Metric):
    """The distance between sets of whole clips, of the features [B, D] of I3D."""

    min_clips: int = 4  # two sets of real clips

    reads: ClassVar[Reads] = Reads.SETS
    of_videos: ClassVar[bool] = True
    covariance_ddof: ClassVar[int | None] = _DDOF
    matrix_square_root: ClassVar[str] = TRACE_METHOD

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        return clip_features(self, variables, *videos)

    def compute(self, state: State, repeat: int = 0, latent_dimensions: int = 0) -> Score:
        return self.distance(rows_of(state, REAL), rows_of(state, str(repeat)))

    def floor(self, state: State, total: int) -> Floor:
        real = np.concatenate([rows_of(state, part) for part in (REAL, SPARE) if part in state])
        return floor_of_features(lambda a, b: self.distance(a, b).value, real, total)

    def distance(self, a: ArrayLike, b: ArrayLike) -> Score:
        """Returns the distance of features [N, ...] and [M, ...]. Raises UserError for fewer than two of either."""
        return Score(frechet_distance_of_features(a, b, _DDOF))


class FrechetPerFrame(FrechetMetric):
    """The mean over times of the distance between the frames at each time, of features [B, T, D]."""

    of_videos: ClassVar[bool] = False

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        return _frame_features(self, variables, *videos)

    def distance(self, a: ArrayLike, b: ArrayLike) -> Score:
        curve = frechet_distance_per_frame(a, b, _DDOF)
        return Score(float(curve.mean()), curve)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FrechetOfFrames(Metric):
    """The distance between the sets of the frames of all times, kept as moments: their features would be too many."""

    min_clips: int = 4

    reads: ClassVar[Reads] = Reads.SETS
    covariance_ddof: ClassVar[int | None] = _DDOF
    matrix_square_root: ClassVar[str] = TRACE_METHOD

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        return _frame_features(self, variables, *videos)

    def update(self, state: State, part: str, index: ArrayLike, rows: ArrayLike, total: int) -> State:
        rows, numbers = np.asarray(rows), np.asarray(index).tolist()
        names = np.asarray(groups_of(part, numbers, total) if part in (REAL, SPARE) else [part] * len(numbers))
        for name in np.unique(names).tolist():
            features = rows[names == name].reshape(-1, rows.shape[-1])
            state = self.merge(state, {name: Moments.empty(rows.shape[-1]).add(features)})
        return state

    def compute(self, state: State, repeat: int = 0, latent_dimensions: int = 0) -> Score:
        real = [name for name in sorted(state) if name.startswith(f"{REAL}/")]
        one, other = (_moments(state, names).gaussian(_DDOF) for names in (real, [str(repeat)]))
        return Score(frechet_distance(one, other))

    def floor(self, state: State, total: int) -> Floor:
        sets = [part for part in (REAL, SPARE) if any(name.startswith(f"{part}/") for name in state)]

        def distances() -> Iterator[float]:
            for halves in _HALVES:
                one, other = (_moments(state, [f"{part}/{i}" for part in sets for i in half]) for half in halves)
                yield frechet_distance(one.gaussian(_DDOF), other.gaussian(_DDOF))

        return Floor.of(distances(), 2 * (total // _GROUPS) * len(sets))


def groups_of(part: str, numbers: Sequence[int], total: int) -> list[str]:
    """Returns for each clip, numbered below `total`, the name of the group that its frames belong to."""
    ranks = np.random.default_rng(0).permutation(total)
    groups = np.minimum(ranks // max(total // _GROUPS, 1), _GROUPS)
    return [f"{part}/{groups[number]}" for number in numbers]


def floor_of_features(distance: Any, real: ArrayLike, clips: int, divisions: int = _DIVISIONS, seed: int = 0) -> Floor:
    """Returns the distance between two disjoint random sets of real clips.

    Args:
        distance: of two sets of features.
        real: features [N, ...] of the real clips.
        clips: in each set, as many as were generated; N // 2 if there are not twice as many.
        divisions: to average over.
        seed: of the divisions.

    Raises:
        UserError: fewer than 4 real clips.
    """
    real = np.asarray(real)
    half = min(clips, len(real) // 2)
    if half < 2:
        raise UserError(f"{len(real)} real clips are too few for two sets of at least 2: evaluate 4 or more")
    orders = (np.random.default_rng([seed, division]).permutation(len(real)) for division in range(divisions))
    return Floor.of(
        (distance(real[np.sort(order[:half])], real[np.sort(order[half : 2 * half])]) for order in orders), half
    )


def _moments(state: State, names: Sequence[str]) -> Moments:
    first, *others = (part for part in (state[name] for name in names) if isinstance(part, Moments))
    for other in others:
        first = first.merge(other)
    return first


def _frame_features(metric: Metric, variables: Any, videos: jax.Array) -> jax.Array:
    """Returns features [B, T, D] of images; one frame of all clips at a time, to save memory."""
    assert metric.backbone is not None
    module = metric.backbone.module()

    def features(images: jax.Array) -> Any:
        return module.apply(variables, metric.preprocessing(images))

    return jnp.moveaxis(jax.lax.map(features, jnp.moveaxis(jnp.asarray(videos), 1, 0)), 0, 1)
