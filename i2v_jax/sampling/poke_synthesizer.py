"""From a still image and pokes to videos (poke paper, sections 3 and 4.2).

Shapes: frames [B, H, W, 3] and videos [B, T, H, W, 3] in [-1, 1]; positions [B, 2] as (x, y) and displacements [B, 2]
as (dx, dy) in pixels at the model's resolution, y down. Pixel (x, y) has its middle at (x, y).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import ArrayLike

from i2v_jax.errors import UserError
from i2v_jax.input import flow, pokes
from i2v_jax.metrics.motion import motion_variance
from i2v_jax.models.poke_model import PokeModel
from i2v_jax.pixels import to_uint8
from i2v_jax.sampling.chunks import (
    Array,
    checked_frames,
    checked_pokes,
    frame_for_each,
    in_chunks,
    on_every_device,
)

STRUCTURE_POKES = 100  # of the paper's figure 5
PART_FRAMES = 3  # of a streamed answer, after its first frame
_STRUCTURE_LENGTHS = (0.04, 0.12)  # of these pokes, frame widths


@dataclasses.dataclass(frozen=True)
class PokeSynthesizer:
    """The trained networks as functions of arrays.

    Work is done in chunks of equal size, so that each function compiles once for any number of videos. All methods
    raise UserError for inputs that do not fit the networks, and for pokes that are none (`input.pokes.check_poke`).
    """

    model: PokeModel
    variables: Mapping[str, Any]  # of the four networks: {"params": {"object_encoder": ..., ...}}
    size: int  # height and width of a frame
    poke_size: int  # side of the square of the poke map
    frames: int  # T of the clips that it was trained on
    impulse: bool = False  # displacements are then directions of a length of at most 1
    chunk: int = 8  # videos at a time
    progress: bool = False  # a bar for long work
    mesh: Mesh | None = None  # of one axis: its devices share each chunk

    def respond(
        self, start_frames: ArrayLike, positions: ArrayLike, displacements: ArrayLike, frames: int | None = None
    ) -> Array:
        """What each start frame does when it is poked.

        Args:
            start_frames: x0 [B, H, W, 3], or [1, H, W, 3] for several pokes of one image.
            positions: the poked pixels [B, 2].
            displacements: where to [B, 2], relative to the positions.
            frames: T; by default as many as in training. With more of them the dynamics go on as they are.

        Returns:
            [B, T, H, W, 3], x0 itself not among the frames.
        """
        x0, positions, displacements = self._checked(start_frames, positions, displacements)
        frames = self.frames if frames is None else frames
        if frames < 1:
            raise UserError(f"frames={frames}: ask for at least one")
        maps = self._maps(positions, displacements)
        function = self._respond(frames)
        label = "poke" if self.progress else ""
        return in_chunks(function, self._placed, x0, maps, chunk=self.chunk, progress=label, mesh=self.mesh)

    def stream(
        self, start_frames: ArrayLike, positions: ArrayLike, displacements: ArrayLike, frames: int | None = None
    ) -> Iterator[Array]:
        """As `respond`, part by part: first [B, 1, H, W, 3], then up to `PART_FRAMES` frames at a time.

        All B are computed at once, whatever `chunk` is. One program serves all lengths.
        """
        x0, positions, displacements = self._checked(start_frames, positions, displacements)
        frames = self.frames if frames is None else frames
        if frames < 1:
            raise UserError(f"frames={frames}: ask for at least one")
        return self._stream(x0, self._maps(positions, displacements), frames)

    def _stream(self, x0: Array, maps: Array, frames: int) -> Iterator[Array]:
        begin, advance = self._parts
        cells, latent_poke, video = begin(self.variables, x0, maps)
        yield np.asarray(video, np.float32)
        for first in range(1, frames, PART_FRAMES):
            cells, video = advance(self.variables, cells, latent_poke, np.int32(first))
            yield np.asarray(video, np.float32)[:, : frames - first]

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
        """Which parts of an image belong to the poked one (section 4.2, figure 5).

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
        flows = np.stack([flow.estimate(*_pixels(x0, frame)) for frame in last])
        x, y = (round(float(value)) for value in positions[0])
        return motion_variance(flows, (x, y))

    def states(self, frames: ArrayLike) -> Array:
        """The deepest object states of frames [B, H, W, 3], flattened: [B, h * w * C]."""
        images = checked_frames(frames, self.size)
        return in_chunks(self._deepest, self._placed, images, chunk=self.chunk, mesh=self.mesh)

    def _checked(self, start_frames: ArrayLike, positions: ArrayLike, displacements: ArrayLike) -> Sequence[Array]:
        places, shifts = checked_pokes(positions, displacements, self.size, impulse=self.impulse)
        return frame_for_each(start_frames, len(places), self.size), places, shifts

    def check_pokes(self, positions: Array, displacements: Array) -> None:
        """Raises UserError when one of the pokes [B, 2], [B, 2] is none, or none for this model."""
        checked_pokes(positions, displacements, self.size, impulse=self.impulse)

    def _maps(self, positions: Array, displacements: Array) -> Array:
        return np.stack(
            [
                pokes.poke_map((round(float(x)), round(float(y))), displacement, self.size, self.poke_size)
                for (x, y), displacement in zip(positions, displacements, strict=True)
            ]
        )

    @functools.cached_property
    def _placed(self) -> Mapping[str, Any]:
        """The variables, on every device of the mesh."""
        return on_every_device(self.variables, self.mesh)

    @functools.cached_property
    def _deepest(self) -> Callable[..., jax.Array]:
        def deepest(variables: Any, images: jax.Array) -> Any:
            states: Any = self.model.apply(variables, images, method="encode")
            return states[0].reshape(len(images), -1)

        return jax.jit(deepest)

    @functools.cached_property
    def _parts(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The first frame, and `PART_FRAMES` more: both also return what the next ones need."""

        def begin(variables: Any, x0: jax.Array, maps: jax.Array) -> Any:
            def run(model: PokeModel) -> Any:
                latent_poke = model.encode_poke(maps)
                cells, video = model.advance(model.begin(model.encode(x0)), latent_poke, 1, 0)
                return cells, latent_poke, video

            return self.model.apply(variables, method=run)

        def advance(variables: Any, cells: Any, latent_poke: jax.Array, first: jax.Array) -> Any:
            return self.model.apply(variables, cells, latent_poke, PART_FRAMES, first, method="advance")

        return jax.jit(begin), jax.jit(advance)

    def _respond(self, frames: int) -> Callable[..., jax.Array]:
        if frames not in self._programs:

            def respond(variables: Any, x0: jax.Array, maps: jax.Array) -> Any:
                def run(model: PokeModel) -> jax.Array:
                    return model.decode(model.predict(model.encode(x0), model.encode_poke(maps), frames))

                return self.model.apply(variables, method=run)

            self._programs[frames] = jax.jit(respond)
        return self._programs[frames]

    @functools.cached_property
    def _programs(self) -> dict[int, Callable[..., jax.Array]]:
        """Length -> the function of that length."""
        return {}


def likeness(variance: Array) -> Array:
    """[H, W] of `PokeSynthesizer.structure` -> 1 where pixels move with the poked one, down to 0 where they do not."""
    return np.clip(1.0 - variance / max(float(np.quantile(variance, 0.9)), 1e-6), 0.0, 1.0)


def _pixels(*frames: Array) -> list[np.ndarray]:
    return [to_uint8(frame) for frame in frames]
