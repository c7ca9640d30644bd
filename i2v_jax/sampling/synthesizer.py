"""From a still image to videos: sampling, motion transfer, control and chaining (paper sections 3 and 4).

Shapes: frames [B, H, W, 3] and videos [B, T, H, W, 3] in [-1, 1], residuals nu and latents z [B, z], and controls eta
[B, n] as `synthesizer.control.encode` makes them, or `poke_samples.poke_control` of pokes. A clip X is the
`CLIP_FRAMES` frames after the start frame x0.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import ArrayLike

from i2v_jax.errors import UserError
from i2v_jax.models.flow import standard_normal_log_prob
from i2v_jax.sampling.chunks import Array, checked_frames, in_chunks, on_every_device
from i2v_jax.tasks.control import NONE, Control

CLIP_FRAMES = 16
Chain = Literal["same_z", "fresh"]


@dataclasses.dataclass(frozen=True)
class VideoSynthesizer:
    """The trained networks as functions of arrays.

    Work is done in chunks of equal size, the last one filled up, so that each function compiles once for any number of
    videos; results are gathered on the host. All methods raise UserError for inputs that do not fit the networks.
    """

    encoder: nn.Module  # VideoEncoder
    decoder: nn.Module  # VideoDecoder
    image_encoder: nn.Module | None  # ImageEncoder, whose mean is the embedding of x0
    flow: nn.Module | None  # ConditionalFlow; None for the ablation without it: z itself is standard normal
    variables: Mapping[str, Any]  # of these networks, under the names of the fields above
    size: int  # height and width of a frame
    z_dim: int
    control: Control = NONE  # what the flow is conditioned on beside the start frame
    chunk: int = 8  # videos at a time
    progress: bool = False  # a bar for the decoding
    mesh: Mesh | None = None  # of one axis: its devices share each chunk

    def sample(
        self,
        start_frames: ArrayLike,
        rng: jax.Array,
        num_samples: int,
        *,
        frames: int = CLIP_FRAMES,
        temperature: float = 1.0,
        control: ArrayLike | None = None,
        chain: Chain = "same_z",
        numbers: Sequence[int] | None = None,
    ) -> Array:
        """Different videos of the same start frames: nu ~ N(0, temperature^2), z = T^-1(nu; x0, eta), decoded.

        A sample depends on `rng`, its start frame's and its own number alone: asking for more keeps the first ones.

        Args:
            start_frames: x0 [B, H, W, 3].
            rng: a key of `jax.random.key`.
            num_samples: S videos for each start frame.
            frames: T, beyond 16 by chaining: the last frame becomes x0.
            temperature: standard deviation of nu.
            control: eta [B, n]; None on a network with control, unless by pokes: drawn uniformly for each sample.
            chain: "same_z" decodes every part with the same z (release); "fresh" draws a new nu for each part.
            numbers: of the start frames, on which samples depend; by default 0 to B - 1.

        Returns:
            [B, S, T, H, W, 3], x0 itself not among the frames.
        """
        parts = self.stream(
            start_frames, rng, num_samples, frames=frames, temperature=temperature, control=control, chain=chain,
            numbers=numbers,
        )  # fmt: skip
        return np.concatenate(list(parts), axis=2)

    def stream(
        self,
        start_frames: ArrayLike,
        rng: jax.Array,
        num_samples: int,
        *,
        frames: int = CLIP_FRAMES,
        temperature: float = 1.0,
        control: ArrayLike | None = None,
        chain: Chain = "same_z",
        numbers: Sequence[int] | None = None,
    ) -> Iterator[Array]:
        """As `sample`, part by part: [B, S, up to 16, H, W, 3] each, as soon as it is decoded."""
        x0 = checked_frames(start_frames, self.size)
        keys = sample_keys(rng, np.arange(len(x0)) if numbers is None else np.asarray(numbers), num_samples)

        def draw_control(key: jax.Array) -> jax.Array:
            return self.control.random(jax.random.fold_in(key, 0), 1)[0]

        if control is None:
            eta = np.asarray(jax.vmap(draw_control)(keys))
        else:
            eta = np.repeat(self._checked_control(control, len(x0)), num_samples, axis=0)
        embedding = np.repeat(self._embed(x0), num_samples, axis=0)
        x0 = np.repeat(x0, num_samples, axis=0)

        def draw(part: int) -> Array:
            return np.asarray(temperature * draw_residuals(keys, part, self.z_dim))

        def next_latent(part: int, last: Array) -> Array:
            return self._latent(draw(part), self._embed(last), eta)

        z = self._latent(draw(0), embedding, eta)
        for part in self._roll_out(x0, z, frames, next_latent if chain == "fresh" else None):
            yield part.reshape(-1, num_samples, *part.shape[1:])

    def residual(self, video: ArrayLike, control: ArrayLike | None = None) -> Array:
        """What a clip has beyond its start frame: nu [B, z] = T(posterior mean of z; x0, eta).

        `video` is [B, 17, H, W, 3], x0 first; `control` is the clip's own eta [B, n], needed by a network with control.
        """
        clip = self._checked_clip(video)
        z = self._encode(clip[:, 1:])
        return self._forward(z, self._embed(clip[:, 0]), self._required_control(control, len(clip)))

    def latent_mean(self, video: ArrayLike) -> Array:
        """Posterior mean of z [B, z] of clips [B, 17, H, W, 3], x0 first."""
        return self._encode(self._checked_clip(video)[:, 1:])

    def log_likelihood(
        self,
        video: ArrayLike,
        rng: jax.Array,
        control: ArrayLike | None = None,
        *,
        exact: bool = True,
        numbers: Sequence[int] | None = None,
    ) -> Array:
        """log p(z | x0, eta) [B] in nats of one posterior sample z of each clip, what the flow is trained on.

        Args:
            video: [B, 17, H, W, 3], x0 first.
            rng: a key of `jax.random.key`; the sample of a clip depends on it and the clip's number.
            control: the clips' own eta [B, n], needed by a network with control.
            exact: include the activations' log-determinants, which the authors' release leaves out.
            numbers: of the clips, by default 0 to B - 1.
        """
        clip = self._checked_clip(video)
        keys = sample_keys(rng, np.arange(len(clip)) if numbers is None else np.asarray(numbers), 1)
        noise = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (self.z_dim,)))(keys))
        z = self._in_chunks("encoder", self.functions["encode_sample"], clip[:, 1:], noise)
        if self.flow is None:
            return np.asarray(standard_normal_log_prob(jnp.asarray(z)))
        eta = self._required_control(control, len(clip))
        function = self.functions["log_prob" if exact else "release_log_prob"]
        return self._in_chunks("flow", function, z, self._embed(clip[:, 0]), np.asarray(eta))

    def transfer(
        self, residual: ArrayLike, start_frames: ArrayLike, control: ArrayLike | None = None, frames: int = CLIP_FRAMES
    ) -> Array:
        """The motion of `residual` [B, z] on `start_frames` [B, H, W, 3] under `control` [B, n]: [B, T, H, W, 3].

        Each of the three may have a single row that serves all.
        """
        x0, nu = checked_frames(start_frames, self.size), np.asarray(residual, np.float32)
        eta = self._required_control(control, 1 if control is None else len(np.asarray(control)))
        count = max(len(x0), len(nu), len(eta))
        if any(len(array) not in (1, count) for array in (x0, nu, eta)):
            raise UserError(
                f"{len(nu)} residuals, {len(x0)} start frames and {len(eta)} controls do not pair up: "
                "give one for all, or one for each"
            )
        x0, nu, eta = (np.broadcast_to(array, (count, *array.shape[1:])) for array in (x0, nu, eta))
        return np.concatenate(list(self._roll_out(x0, self._latent(nu, self._embed(x0), eta), frames, None)), axis=1)

    def recontrol(self, video: ArrayLike, old_control: ArrayLike, new_control: ArrayLike) -> Array:
        """Video-to-video control: the residual under the clip's own eta, decoded under another.

        [B, 17, H, W, 3], [B, n], [B, n] -> [B, 16, H, W, 3].
        """
        clip = self._checked_clip(video)
        return self.transfer(self.residual(clip, old_control), clip[:, 0], new_control)

    def reconstruct(self, video: ArrayLike) -> Array:
        """Encoder and decoder alone, with the posterior's mean: [B, 17, H, W, 3], x0 first -> [B, 16, H, W, 3]."""
        clip = self._checked_clip(video)
        return self._decode(clip[:, 0], self._encode(clip[:, 1:]))

    def _roll_out(
        self, x0: Array, z: Array, frames: int, next_latent: Callable[[int, Array], Array] | None
    ) -> Iterator[Array]:
        """The parts [B, up to 16, H, W, 3] of a video, each of which starts from the last frame of the one before."""
        if frames < 1:
            raise UserError(f"frames={frames}: ask for at least one")
        for number, first in enumerate(range(0, frames, CLIP_FRAMES)):
            if number and next_latent is not None:
                z = next_latent(number, x0)
            part = self._decode(x0, z)
            yield part[:, : frames - first]
            x0 = part[:, -1]

    def _encode(self, clip: Array) -> Array:
        return self._in_chunks("encoder", self.functions["encode"], clip)

    def _embed(self, x0: Array) -> Array:
        if self.image_encoder is None:
            return np.zeros((len(x0), 0), np.float32)
        return self._in_chunks("image_encoder", self.functions["embed"], x0)

    def _forward(self, z: Array, embedding: Array, eta: ArrayLike) -> Array:
        if self.flow is None:
            return z
        return self._in_chunks("flow", self.functions["forward"], z, embedding, np.asarray(eta))

    def _latent(self, nu: Array, embedding: Array, eta: ArrayLike) -> Array:
        if self.flow is None:
            return nu
        return self._in_chunks("flow", self.functions["inverse"], nu, embedding, np.asarray(eta))

    def _decode(self, x0: Array, z: Array) -> Array:
        return self._in_chunks("decoder", self.functions["decode"], x0, z, progress=self.progress)

    @functools.cached_property
    def functions(self) -> dict[str, Callable[..., jax.Array]]:
        """The networks as compiled functions of variables and arrays: encode, embed, forward, inverse, decode."""
        image_encoder: Any = self.image_encoder
        flow: Any = self.flow

        def encode(variables: Any, clip: jax.Array) -> Any:
            posterior: Any = self.encoder.apply(variables, clip)
            return posterior.mean

        def encode_sample(variables: Any, clip: jax.Array, noise: jax.Array) -> Any:
            posterior: Any = self.encoder.apply(variables, clip)
            return posterior.sample_with(noise)

        def embed(variables: Any, x0: jax.Array) -> Any:
            posterior: Any = image_encoder.apply(variables, x0)
            return posterior.mean

        def forward(variables: Any, z: jax.Array, embedding: jax.Array, eta: jax.Array) -> Any:
            return flow.apply(variables, z, jnp.concatenate([embedding, eta], axis=-1))[0]

        def inverse(variables: Any, nu: jax.Array, embedding: jax.Array, eta: jax.Array) -> Any:
            return flow.apply(variables, nu, jnp.concatenate([embedding, eta], axis=-1), method="inverse")[0]

        def log_prob(variables: Any, z: jax.Array, embedding: jax.Array, eta: jax.Array, exact: bool = True) -> Any:
            condition = jnp.concatenate([embedding, eta], axis=-1)
            return flow.apply(variables, z, condition, exact, method="log_prob")

        def release_log_prob(variables: Any, z: jax.Array, embedding: jax.Array, eta: jax.Array) -> Any:
            return log_prob(variables, z, embedding, eta, exact=False)

        def decode(variables: Any, x0: jax.Array, z: jax.Array) -> Any:
            return self.decoder.apply(variables, x0, z)

        functions = (encode, encode_sample, embed, forward, inverse, log_prob, release_log_prob, decode)
        return {function.__name__: jax.jit(function) for function in functions}

    @functools.cached_property
    def _placed(self) -> Mapping[str, Any]:
        """The variables, on every device of the mesh."""
        return on_every_device(self.variables, self.mesh)

    def _in_chunks(
        self, network: str, function: Callable[..., jax.Array], *arrays: Array, progress: bool = False
    ) -> Array:
        label = network if progress else ""
        variables = self._placed[network]
        return in_chunks(function, variables, *arrays, chunk=self.chunk, progress=label, mesh=self.mesh)

    def _checked_clip(self, video: ArrayLike) -> Array:
        array = np.asarray(video, np.float32)
        expected = (CLIP_FRAMES + 1, self.size, self.size, 3)
        if array.ndim != 5 or array.shape[1:] != expected or not len(array):
            raise UserError(f"clips of shape {['B', *expected]} are needed, got {list(array.shape)}".replace("'", ""))
        return array

    def _checked_control(self, control: ArrayLike, count: int) -> Array:
        array = np.asarray(control, np.float32)
        width = self.control.width
        if width == 0 and array.size:
            raise UserError("this model was trained without control: it cannot be told where to move")
        if array.shape not in ((count, width), (1, width)):
            raise UserError(
                f"a control of shape [{count}, {width}] is needed ({self.control.name}), got {list(array.shape)}"
            )
        return np.broadcast_to(array, (count, width))

    def _required_control(self, control: ArrayLike | None, count: int) -> Array:
        if control is None and self.control.width:
            name = self.control.name
            raise UserError(f"this model is controlled by {name}: give the {name} of each clip")
        return self._checked_control(np.zeros((count, 0)) if control is None else control, count)


def sample_keys(rng: jax.Array, numbers: ArrayLike, samples: int) -> jax.Array:
    """Keys [B * S] of which the one for (b, s) depends on the number of b and on s alone."""
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    rows = fold(rng, jnp.asarray(numbers))
    return jax.vmap(fold, in_axes=(0, None))(rows, jnp.arange(samples)).reshape(-1)


def draw_residuals(keys: jax.Array, part: int, z_dim: int) -> jax.Array:
    """nu [N, z] of part number `part` of a chain, standard normal, one for each of the keys [N]."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1 + part), (z_dim,)))(keys)
