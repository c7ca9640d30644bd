"""The cINN as a generator: sampling, motion transfer, control and chaining (paper sections 3 and 4).

Shapes as in `sampling/generator.py`; residuals nu and latents z are [B, z], controls are eta [B, n]
(`tasks/control.py`). A clip is its start frame x0 and the `CLIP_FRAMES` frames after it.
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
from i2v_jax.sampling import cinn_core as core
from i2v_jax.sampling.arrays import Array, checked_frames, on_every_device, wrong_shape
from i2v_jax.sampling.cinn_core import CLIP_FRAMES, CinnNetworks
from i2v_jax.sampling.generator import Chain, Description, LatentGenerator, Sampler
from i2v_jax.tasks.control import NONE, Control


@dataclasses.dataclass(frozen=True)
class CinnGenerator(LatentGenerator):
    """Many videos of each start frame: nu ~ N(0, temperature^2), z = T^-1(nu; x0, eta), decoded."""

    networks: CinnNetworks
    variables: Mapping[str, Any]  # of the networks, under the names of their fields
    size: int
    z_dim: int
    control: Control = NONE  # what the flow is conditioned on, in addition to the start frame
    chunk: int = 8
    progress: bool = False
    mesh: Mesh | None = None
    quick: bool = False

    def describe(self) -> Description:
        return Description(self.size, CLIP_FRAMES, self.control, deterministic=False, latent_dimensions=self.z_dim)

    def sampler(
        self, num_samples: int, frames: int | None = None, temperature: float = 1.0, chain: Chain = "same_z"
    ) -> Sampler:
        length = self._checked_length(frames)

        def sample(
            variables: Any, start_frames: jax.Array, rng: jax.Array, control: jax.Array | None = None
        ) -> jax.Array:
            batch = start_frames.shape[0]
            grid = jnp.meshgrid(jnp.arange(batch), jnp.arange(num_samples), indexing="ij")
            example_ids, samples = (axis.reshape(-1) for axis in grid)

            def run(name: str, *arrays: jax.Array) -> jax.Array:
                return getattr(self.networks, name)(variables, *arrays)

            def draw(part: int) -> jax.Array:
                return temperature * core.draw_residuals(rng, part, self.z_dim, example_ids, samples)

            eta = (
                core.draw_controls(rng, self.control, example_ids, samples)
                if control is None
                else jnp.repeat(control, num_samples, axis=0)
            )
            parts = core.roll_out(run, draw, start_frames, eta, num_samples=num_samples, frames=length, chain=chain)
            videos = jnp.concatenate(list(parts), axis=1)
            return videos.reshape(batch, num_samples, *videos.shape[1:])

        return sample

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
        """Yields parts [B, S, up to 16, H, W, 3]; see `Generator.generate`."""
        x0 = checked_frames(start_frames, self.size)
        length = self._checked_length(frames)
        ids = np.repeat(_ids(example_ids, len(x0)), num_samples)
        samples = np.tile(np.arange(num_samples, dtype=np.int32), len(x0))

        def draw(part: int) -> Array:
            settings = (rng, np.int32(part), np.float32(temperature))
            return self._draw(self._programs["residuals"], settings, ids, samples)

        if control is None:
            eta = self._draw(self._programs["controls"], rng, ids, samples)
        else:
            eta = np.repeat(self._checked_control(control, len(x0)), num_samples, axis=0)
        parts = core.roll_out(self._run, draw, x0, eta, num_samples=num_samples, frames=length, chain=chain)
        for part in parts:
            yield part.reshape(len(x0), num_samples, *part.shape[1:])

    def encode_motion(self, video: ArrayLike, control: ArrayLike | None = None) -> Array:
        clip = self._checked_clip(video)
        eta = self._required_control(control, len(clip))
        return self._run("forward", self._run("encode", clip[:, 1:]), self._run("embed", clip[:, 0]), eta)

    def transfer(
        self,
        motion: ArrayLike,
        start_frames: ArrayLike,
        control: ArrayLike | None = None,
        frames: int | None = None,
    ) -> Array:
        x0, nu = checked_frames(start_frames, self.size), np.asarray(motion, np.float32)
        eta = self._required_control(control, 1 if control is None else len(np.asarray(control)))
        count = max(len(x0), len(nu), len(eta))
        if any(len(array) not in (1, count) for array in (x0, nu, eta)):
            raise UserError(
                f"{len(nu)} motions, {len(x0)} start frames and {len(eta)} controls do not pair up: "
                "give one for all, or one for each",
                field="motion",
                value=len(nu),
            )
        x0, nu, eta = (np.broadcast_to(array, (count, *array.shape[1:])) for array in (x0, nu, eta))
        length = self._checked_length(frames)
        parts = core.roll_out(self._run, lambda _: nu, x0, eta, num_samples=1, frames=length)
        return np.concatenate(list(parts), axis=1)

    def recontrol(self, video: ArrayLike, old_control: ArrayLike, new_control: ArrayLike) -> Array:
        """Returns clips under another control (video-to-video): the motion under their own eta, decoded under another.

        [B, 17, H, W, 3], [B, n], [B, n] -> [B, 16, H, W, 3].
        """
        clip = self._checked_clip(video)
        return self.transfer(self.encode_motion(clip, old_control), clip[:, 0], new_control)

    def reconstruct(self, video: ArrayLike) -> Array:
        """Returns reconstructions [B, 16, H, W, 3] from the posterior's mean of clips [B, 17, H, W, 3], x0 first."""
        clip = self._checked_clip(video)
        return self._run("decode", clip[:, 0], self._run("encode", clip[:, 1:]))

    def log_likelihood(
        self,
        video: ArrayLike,
        rng: jax.Array,
        control: ArrayLike | None = None,
        *,
        exact: bool = True,
        example_ids: Sequence[int] | None = None,
    ) -> Array:
        clip = self._checked_clip(video)
        eta = self._required_control(control, len(clip))
        noise = self._draw(self._programs["noise"], rng, _ids(example_ids, len(clip)))
        z = self._run("encode_sample", clip[:, 1:], noise)
        return self._run("log_prob" if exact else "release_log_prob", z, self._run("embed", clip[:, 0]), eta)

    def clip_features(self, video: ArrayLike) -> Array:
        """Returns the posterior's mean of z [B, z]."""
        return self._run("encode", self._checked_clip(video)[:, 1:])

    def encode_control(self, values: jax.Array | NDArray[Any]) -> jax.Array:
        return self.control.encode(values, self.size)

    def clip_control(self, clips: Mapping[str, NDArray[Any]]) -> Array:
        return np.asarray(self.control.from_batch(clips, self.size))

    @functools.cached_property
    def _programs(self) -> dict[str, Callable[..., jax.Array]]:
        """The methods of the networks, and what draws random numbers, compiled."""

        def residuals(settings: Any, example_ids: jax.Array, samples: jax.Array) -> jax.Array:
            rng, part, temperature = settings
            return temperature * core.draw_residuals(rng, part, self.z_dim, example_ids, samples)

        def drawn_controls(rng: jax.Array, example_ids: jax.Array, samples: jax.Array) -> jax.Array:
            return core.draw_controls(rng, self.control, example_ids, samples)

        def noise(rng: jax.Array, example_ids: jax.Array) -> jax.Array:
            return core.draw_noise(rng, self.z_dim, example_ids)

        names = ("encode", "encode_sample", "embed", "forward", "inverse", "log_prob", "release_log_prob", "decode")
        functions = {name: getattr(self.networks, name) for name in names}
        functions |= {"residuals": residuals, "controls": drawn_controls, "noise": noise}
        return {name: self._compiled(function) for name, function in functions.items()}

    def _run(self, name: str, *arrays: Array) -> Array:
        return self._in_chunks(self._programs[name], *arrays, label="decode" if name == "decode" else "")

    def _draw(self, program: Callable[..., jax.Array], settings: Any, *arrays: NDArray[Any]) -> Array:
        return self._in_chunks(program, *arrays, variables=on_every_device(settings, self.mesh))

    def _checked_clip(self, video: ArrayLike) -> Array:
        array = np.asarray(video, np.float32)
        expected = (CLIP_FRAMES + 1, self.size, self.size, 3)
        if array.ndim != 5 or array.shape[1:] != expected or not len(array):
            raise wrong_shape("video", array, f"[B, {', '.join(map(str, expected))}]")
        return array

    def _checked_control(self, control: ArrayLike, count: int) -> Array:
        array = np.asarray(control, np.float32)
        width = self.control.width
        if width == 0 and array.size:
            raise UserError("this model was trained without control: leave control out", field="control")
        if array.shape not in ((count, width), (1, width)):
            raise wrong_shape("control", array, f"[{count}, {width}] for control by {self.control.name}")
        return np.broadcast_to(array, (count, width))

    def _required_control(self, control: ArrayLike | None, count: int) -> Array:
        if control is None and self.control.width:
            message = f"this model is controlled by {self.control.name}: give the {self.control.name} of each clip"
            raise UserError(message, field="control")
        return self._checked_control(np.zeros((count, 0)) if control is None else control, count)


def _ids(example_ids: Sequence[int] | None, count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32) if example_ids is None else np.asarray(example_ids, np.int32)
