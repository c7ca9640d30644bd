"""A stage and its generator that are added from outside of the package, as `docs/extending.md` shows."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict
from numpy.typing import ArrayLike, NDArray

from i2v_jax.sampling import load
from i2v_jax.sampling.arrays import Array, checked_frames
from i2v_jax.sampling.generator import Chain, Description, Generator, Sampler
from i2v_jax.tasks import registry
from i2v_jax.tasks.base import Batch, Metrics, Networks, Update
from i2v_jax.tasks.control import NONE


class Drift(nn.Module):
    """Frame t is x0 plus t times a color, which depends on the mean color of x0."""

    @nn.compact
    def __call__(self, x0: jax.Array, frames: int) -> jax.Array:
        color = nn.Dense(3)(jnp.mean(x0, axis=(1, 2)))
        times = jnp.arange(1.0, frames + 1)[:, None, None, None]
        return jnp.clip(x0[:, None] + times * color[:, None, None, None], -1.0, 1.0)


class DriftTask:
    """Learns the color by the mean absolute difference."""

    forward_networks: tuple[str, ...] = ("drift",)
    ema_networks: tuple[str, ...] = ("drift",)
    best = "l1"
    preview_rows: tuple[str, ...] = ("truth", "drift")

    def __init__(self, modules: dict[str, Any]) -> None:
        self.modules = modules
        self.frozen: Networks = {}
        self.updates: tuple[Update, ...] = (Update("drift", ("drift",), self.loss),)

    def init_variables(self, rng: jax.Array, batch: Batch) -> Networks:
        return {"drift": dict(self.modules["drift"].init(rng, batch["video"][:1, 0], 1))}

    def data_init(self, networks: Networks, batch: Batch, rng: jax.Array) -> Networks:
        return networks

    def forward(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, Networks]:
        video = batch["video"]
        return self.modules["drift"].apply(networks["drift"], video[:, 0], video.shape[1] - 1), {}

    def loss(
        self, networks: Networks, outputs: jax.Array, batch: Batch, rng: jax.Array
    ) -> tuple[jax.Array, tuple[Networks, Metrics]]:
        loss = jnp.mean(jnp.abs(outputs - batch["video"][:, 1:]))
        return loss, ({}, {"loss": loss})

    def evaluate(self, networks: Networks, batch: Batch, rng: jax.Array) -> Metrics:
        video, _ = self.forward(networks, batch, rng)
        return {"l1": jnp.mean(jnp.abs(video - batch["video"][:, 1:]), axis=(1, 2, 3, 4))}

    def preview(self, networks: Networks, batch: Batch, rng: jax.Array) -> tuple[jax.Array, ...]:
        video, _ = self.forward(networks, batch, rng)
        return batch["video"], jnp.concatenate([batch["video"][:, :1], video], axis=1)


@dataclasses.dataclass(frozen=True)
class DriftGenerator(Generator):
    """One video of each start frame."""

    module: Drift
    variables: Mapping[str, Any]
    size: int
    frames: int
    chunk: int = 8
    progress: bool = False
    mesh: Mesh | None = None
    quick: bool = False

    def describe(self) -> Description:
        return Description(self.size, self.frames, NONE, deterministic=True)

    def sampler(
        self, num_samples: int, frames: int | None = None, temperature: float = 1.0, chain: Chain = "same_z"
    ) -> Sampler:
        length = self._checked_length(frames)

        def sample(variables: Any, start_frames: jax.Array, rng: jax.Array, control: Any = None) -> jax.Array:
            return jnp.repeat(self.module.apply(variables, start_frames, length)[:, None], num_samples, axis=1)

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
        x0 = checked_frames(start_frames, self.size)
        program = functools.partial(self._program, frames=self._checked_length(frames))
        yield np.repeat(self._in_chunks(program, x0)[:, None], num_samples, axis=1)

    def encode_control(self, values: jax.Array | NDArray[Any]) -> jax.Array:
        return NONE.encode(values, self.size)

    def clip_control(self, clips: Mapping[str, NDArray[Any]]) -> Array:
        return np.asarray(NONE.from_batch(clips, self.size))

    def clip_features(self, video: ArrayLike) -> Array:
        return np.mean(np.asarray(video, np.float32), axis=(2, 3)).reshape(len(np.asarray(video)), -1)

    @functools.cached_property
    def _program(self) -> Callable[..., Any]:
        return self._compiled(self.module.apply, static_argnames="frames")


def _describe(config: ConfigDict) -> Description:
    return Description(config.data.size, config.data.frames - 1, NONE, deterministic=True)


def _assemble(config: ConfigDict, trained: load.Trained, origin: str) -> DriftGenerator:
    about = _describe(config)
    return DriftGenerator(Drift(), trained["drift"]["drift"], about.size, about.frames)


registry.register(
    registry.Stage(
        "drift",
        modules=lambda config, dtype: {"drift": Drift()},
        task=lambda given: DriftTask(dict(given.modules["drift"])),
    )
)
load.register("drift", load.GeneratorKind(_describe, _assemble))
