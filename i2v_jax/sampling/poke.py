"""The poke model as a generator (poke paper, sections 3 and 4.2). Shapes as in `sampling/generator.py`.

Its control is [B, 4]: x, y, dx, dy of each poke in pixels at the model's resolution.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import ArrayLike, NDArray

from i2v_jax.errors import UserError
from i2v_jax.input import flow
from i2v_jax.metrics.motion import motion_variance
from i2v_jax.models.poke_model import PokeModel
from i2v_jax.pixels import to_uint8
from i2v_jax.sampling.arrays import Array, checked_frames, checked_pokes, frame_for_each, wrong_shape
from i2v_jax.sampling.generator import Chain, Description, Generator, Sampler
from i2v_jax.tasks.control import POKE

STRUCTURE_POKES = 100  # of the paper's figure 5
PART_FRAMES = 3  # of a streamed answer, after its first frame
_STRUCTURE_LENGTHS = (0.04, 0.12)  # of these pokes, frame widths


@dataclasses.dataclass(frozen=True)
class PokeGenerator(Generator):
    """One video of each poked start frame: seed, temperature and chain change nothing.

    Beyond the trained length the dynamics go on as they are. A poke of length zero moves nothing.
    """

    model: PokeModel
    variables: Mapping[str, Any]  # of the four networks: {"params": {"object_encoder": ..., ...}}
    size: int
    poke_size: int  # side of the square of the poke map, odd
    frames: int  # T of the clips that it was trained on
    impulse: bool = False  # displacements are directions of length at most 1
    chunk: int = 8
    progress: bool = False
    mesh: Mesh | None = None
    quick: bool = False

    def describe(self) -> Description:
        return Description(self.size, self.frames, POKE, deterministic=True, impulse=self.impulse)

    def sampler(
        self, num_samples: int, frames: int | None = None, temperature: float = 1.0, chain: Chain = "same_z"
    ) -> Sampler:
        length = self._checked_length(frames)

        def sample(variables: Any, start_frames: jax.Array, rng: jax.Array, control: jax.Array) -> jax.Array:
            return jnp.repeat(self._respond(variables, start_frames, control, length)[:, None], num_samples, axis=1)

        return sample

    def generate(
        self,
        start_frames: ArrayLike,
        rng: jax.Array,
        num_samples: int,
        *,
        frames: int | None = None,
        temperature: float = 1.0,
        control: ArrayLike | None = None,
        chain: Chain = "same_z",
        example_ids: Sequence[int] | None = None,
    ) -> Array:
        """Returns videos, see `Generator.generate`; compiles one program for each length T."""
        answers = self._answers(start_frames, self._checked_pokes(control), frames)
        return np.repeat(answers[:, None], num_samples, axis=1)

    def stream(
        self,
        start_frames: ArrayLike,
        rng: jax.Array,
        num_samples: int,
        *,
        frames: int | None = None,
        temperature: float = 1.0,
        control: ArrayLike | None = None,
        chain: Chain = "same_z",
        example_ids: Sequence[int] | None = None,
    ) -> Iterator[Array]:
        """Yields first [B, S, 1, H, W, 3], then up to `PART_FRAMES` frames at a time.

        All B are computed at once, whatever `chunk` is. One program serves all lengths.
        """
        x0, pokes = self._paired(start_frames, self._checked_pokes(control))
        length = self._checked_length(frames)
        begin, advance = self._parts

        def parts() -> Iterator[Array]:
            state, video = begin(self.placed, *jax.device_put((x0, pokes)))
            yield np.asarray(jax.device_get(video), np.float32)
            for first in range(1, length, PART_FRAMES):
                state, video = advance(self.placed, state, jax.device_put(np.int32(first)))
                yield np.asarray(jax.device_get(video), np.float32)[:, : length - first]

        return (np.repeat(part[:, None], num_samples, axis=1) for part in parts())

    def respond(
        self, start_frames: ArrayLike, positions: ArrayLike, displacements: ArrayLike, frames: int | None = None
    ) -> Array:
        """Returns the response of each start frame to a poke.

        Args:
            start_frames: x0 [B, H, W, 3], or [1, H, W, 3] for several pokes of one image.
            positions: the poked pixels [B, 2].
            displacements: where to [B, 2], relative to the positions.
            frames: T; None: as many as in training.

        Returns:
            [B, T, H, W, 3], x0 itself not among the frames.
        """
        return self._answers(start_frames, self.encode_pokes(positions, displacements), frames)

    def respond_in_turn(
        self, start_frame: ArrayLike, positions: ArrayLike, displacements: ArrayLike, frames: int | None = None
    ) -> Array:
        """Pokes an image, and then the last frame of each answer again: [H, W, 3], N pokes -> [N * T, H, W, 3]."""
        last, parts = np.asarray(start_frame, np.float32), []
        for position, displacement in zip(np.asarray(positions), np.asarray(displacements), strict=True):
            parts.append(self.respond(last[None], position[None], displacement[None], frames)[0])
            last = parts[-1][-1]
        return np.concatenate(parts)

    def structure(self, start_frame: ArrayLike, position: ArrayLike, seed: int = 0, count: int = 0) -> Array:
        """Returns which parts of an image move with the poked one (section 4.2, figure 5).

        Random pokes at one place; the optical flow from x0 to the last frame of each answer; per pixel the variance of
        the difference between its motion and that of the poked pixel (`metrics.motion.motion_variance`).

        Args:
            start_frame: x0 [H, W, 3].
            position: the poked pixel [2].
            seed: of directions and lengths.
            count: pokes; 0: 100, as the paper.

        Returns:
            [H, W]; small where pixels move together with the poked one.
        """
        x0 = np.asarray(start_frame, np.float32)
        rng, count = np.random.default_rng(seed), count or STRUCTURE_POKES
        scale = 1.0 if self.impulse else self.size
        angles, lengths = rng.uniform(0, 2 * np.pi, count), scale * rng.uniform(*_STRUCTURE_LENGTHS, count)
        displacements = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        positions = np.broadcast_to(np.asarray(position, np.float32), (count, 2))
        last = self.respond(x0[None], positions, displacements)[:, -1]
        flows = np.stack([flow.estimate(to_uint8(x0), to_uint8(frame)) for frame in last])
        x, y = (round(float(value)) for value in positions[0])
        return motion_variance(flows, (x, y))

    def clip_features(self, video: ArrayLike) -> Array:
        """Returns the deepest object states of the first and the last frame."""
        clips = np.asarray(video, np.float32)
        return np.concatenate([self.states(clips[:, frame]) for frame in (0, self.frames)], axis=1)

    def states(self, frames: ArrayLike) -> Array:
        """Returns the deepest object states of frames [B, H, W, 3], flattened: [B, h * w * C]."""
        return self._in_chunks(self._deepest, checked_frames(frames, self.size))

    def encode_control(self, values: jax.Array | NDArray[Any]) -> jax.Array | NDArray[Any]:
        """Returns the pokes unchanged: they are the control. Those on the host stay there."""
        return values.astype(np.float32)

    def clip_control(self, clips: Mapping[str, NDArray[Any]]) -> Array:
        return np.asarray(POKE.values_of([clips[name] for name in POKE.arrays]), np.float32)

    def _answers(self, start_frames: ArrayLike, pokes: Array, frames: int | None) -> Array:
        """Returns the answers [B, T, H, W, 3] to pokes [B, 4] that were checked."""
        program = self._whole(self._checked_length(frames))
        return self._in_chunks(program, *self._paired(start_frames, pokes), label="poke")

    def _checked_pokes(self, control: ArrayLike | None) -> Array:
        """Returns the pokes [B, 4] of a control. Those of length zero are valid here."""
        if control is None:
            raise UserError("this model needs pokes: give a poke for each start frame", field="control")
        pokes = np.asarray(control, np.float32)
        if pokes.ndim != 2 or pokes.shape[1] != 4 or not len(pokes):
            raise wrong_shape("control", pokes, "[B, 4]: x, y, dx, dy of each poke")
        moving = pokes[(pokes[:, 2:] != 0).any(axis=1)]
        if len(moving):
            checked_pokes(moving[:, :2], moving[:, 2:], self.size, impulse=self.impulse)
        return pokes

    def _paired(self, start_frames: ArrayLike, pokes: Array) -> tuple[Array, Array]:
        """Returns x0 and as many pokes."""
        if len(pokes) == 1:
            pokes = np.broadcast_to(pokes, (max(len(np.asarray(start_frames)), 1), 4))
        return frame_for_each(start_frames, len(pokes), self.size), pokes

    @functools.cached_property
    def _deepest(self) -> Callable[..., jax.Array]:
        def deepest(variables: Any, images: jax.Array) -> Any:
            states: Any = self.model.apply(variables, images, method="encode")
            return states[0].reshape(len(images), -1)

        return self._compiled(deepest)

    def _maps(self, pokes: jax.Array) -> jax.Array:
        """Pokes [B, 4] as the networks see them: [B, H, W, 2], as of `input.pokes.poke_map`."""
        place, pixels = jnp.round(pokes[:, :2]), jnp.arange(self.size)
        inside = jnp.abs(pixels - place[:, :, None]) <= self.poke_size // 2  # [B, (x, y), H or W]
        square = inside[:, 1, :, None] & inside[:, 0, None, :]
        return jnp.where(square[..., None], pokes[:, None, None, 2:], 0.0)

    def _respond(self, variables: Any, x0: jax.Array, pokes: jax.Array, frames: int) -> jax.Array:
        def run(model: PokeModel) -> jax.Array:
            states = model.predict(model.encode(x0), model.encode_poke(self._maps(pokes)), frames)
            return model.decode(states, x0)

        video: Any = self.model.apply(variables, method=run)
        return _still_where_not_poked(video, x0, pokes).astype(jnp.float32)

    def _whole(self, frames: int) -> Callable[..., jax.Array]:
        """Returns the compiled function for one length."""
        if frames not in self._programs:
            self._programs[frames] = self._compiled(functools.partial(self._respond, frames=frames))
        return self._programs[frames]

    @functools.cached_property
    def _programs(self) -> dict[int, Callable[..., jax.Array]]:
        return {}

    @functools.cached_property
    def _parts(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The first frame, and `PART_FRAMES` more: both also return what the next ones need."""

        def begin(variables: Any, x0: jax.Array, pokes: jax.Array) -> Any:
            def run(model: PokeModel) -> Any:
                latent_poke = model.encode_poke(self._maps(pokes))
                cells, video = model.advance(model.begin(model.encode(x0)), latent_poke, x0, 1, 0)
                return (cells, latent_poke, x0, pokes), _still_where_not_poked(video, x0, pokes)

            return self.model.apply(variables, method=run)

        def advance(variables: Any, state: Any, first: jax.Array) -> Any:
            cells, latent_poke, x0, pokes = state
            following: Any = self.model.apply(variables, cells, latent_poke, x0, PART_FRAMES, first, method="advance")
            cells, video = following
            return (cells, latent_poke, x0, pokes), _still_where_not_poked(video, x0, pokes)

        return self._compiled(begin), self._compiled(advance)


def likeness(variance: Array) -> Array:
    """Maps `PokeGenerator.structure` [H, W] to [0, 1]: 1 where pixels move with the poked one, 0 where they do not."""
    return np.clip(1.0 - variance / max(float(np.quantile(variance, 0.9)), 1e-6), 0.0, 1.0)


def _still_where_not_poked(video: jax.Array, x0: jax.Array, pokes: jax.Array) -> jax.Array:
    """Replaces the videos [B, T, H, W, 3] of pokes of length zero by x0, repeated."""
    moving = (pokes[:, 2:] != 0).any(axis=1)
    return jnp.where(moving[:, None, None, None, None], video, x0[:, None])
