"""The model that is measured, as functions of batches of clips."""

import abc
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import flax.traverse_util
import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.data.registry import data_set
from i2v_jax.errors import UserError
from i2v_jax.evaluation.clips import Batch
from i2v_jax.evaluation.records import ModelIdentity
from i2v_jax.sampling.load import is_poke_model, load_poke_synthesizer, load_synthesizer
from i2v_jax.sampling.poke_synthesizer import PokeSynthesizer
from i2v_jax.sampling.synthesizer import CLIP_FRAMES, VideoSynthesizer
from i2v_jax.tasks import control as controls
from i2v_jax.training.checkpoint import Choice, load_networks
from i2v_jax.workdir import read_workdir

Array = NDArray[np.float32]
# What a model with control is told: the true clip's own, or one drawn at random for each sample.
ToldControl = Literal["own", "random"]


@dataclasses.dataclass(frozen=True)
class Candidate(abc.ABC):
    """A trained model. What it makes of a clip depends on the seed and the clip's number, not on batches or devices."""

    name: str
    synthesizer: Any
    config: ConfigDict
    checkpoint_sha256: str
    step: int
    temperature: float = 1.0

    def identity(self, seed: int) -> ModelIdentity:
        return ModelIdentity(self.name, self.checkpoint_sha256, self.step, seed, self.temperature)

    @property
    def mesh(self) -> Mesh:
        """Of one axis: its devices share the clips."""
        mesh = self.synthesizer.mesh
        assert mesh is not None
        return mesh

    @property
    def data_name(self) -> str:
        """For the record: the data set, and what changes its clips."""
        data = self.config.data
        return data_set(data.name).describe(data)

    @property
    @abc.abstractmethod
    def condition(self) -> str:
        """What the model is told beside the start frame, for the record; empty: nothing."""

    @abc.abstractmethod
    def sample(self, clips: Batch, numbers: Sequence[int], seed: int, samples: int, frames: int) -> Array:
        """Clips with x0 first -> videos [B, S, frames, H, W, 3] in [-1, 1]."""

    @abc.abstractmethod
    def log_likelihood(self, clips: Batch, numbers: Sequence[int], seed: int, exact: bool) -> Array:
        """log p(z | x0) [B] in nats. Raises UserError when the model has none."""

    @abc.abstractmethod
    def latent(self, video: Array) -> Array:
        """[B, 1 + T, H, W, 3] -> [B, z], where clips that look and move alike are close."""

    @property
    @abc.abstractmethod
    def latent_frames(self) -> int:
        """T, the frames after x0 that `latent` needs."""

    @property
    @abc.abstractmethod
    def latent_dimensions(self) -> int:
        """Of what has a log-likelihood."""


@dataclasses.dataclass(frozen=True)
class StochasticCandidate(Candidate):
    """A cINN."""

    synthesizer: VideoSynthesizer
    told: ToldControl = "own"

    @property
    def condition(self) -> str:
        return self.synthesizer.control.describe(self.config.data, drawn=self.told == "random")

    def sample(self, clips: Batch, numbers: Sequence[int], seed: int, samples: int, frames: int) -> Array:
        eta = self._eta(clips) if self.told == "own" else None
        return self.synthesizer.sample(
            clips["video"][:, 0],
            jax.random.key(seed),
            samples,
            frames=frames,
            temperature=self.temperature,
            control=eta,
            numbers=numbers,
        )

    def log_likelihood(self, clips: Batch, numbers: Sequence[int], seed: int, exact: bool) -> Array:
        """See `VideoSynthesizer.log_likelihood`."""
        video = clips["video"][:, : CLIP_FRAMES + 1]
        return self.synthesizer.log_likelihood(
            video, jax.random.key(seed), self._eta(clips), exact=exact, numbers=numbers
        )

    def latent(self, video: Array) -> Array:
        """The posterior mean of z."""
        return self.synthesizer.latent_mean(video[:, : CLIP_FRAMES + 1])

    @property
    def latent_frames(self) -> int:
        return CLIP_FRAMES

    @property
    def latent_dimensions(self) -> int:
        return self.synthesizer.z_dim

    def _eta(self, clips: Batch) -> Array:
        try:
            return np.asarray(self.synthesizer.control.from_batch(clips, self.synthesizer.size))
        except UserError as error:
            raise UserError(f"{error}: give --control=random") from error


@dataclasses.dataclass(frozen=True)
class PokedCandidate(Candidate):
    """A poke model: one answer, told the poke that is in the clip."""

    synthesizer: PokeSynthesizer

    @property
    def condition(self) -> str:
        return controls.POKE.describe(self.config.data)

    def sample(self, clips: Batch, numbers: Sequence[int], seed: int, samples: int, frames: int) -> Array:
        """All S videos of a clip are the same. A clip in which the poked place does not move is answered by x0."""
        x0, displacements = clips["video"][:, 0], clips["poke_displacement"]
        moved = np.hypot(*displacements.T) > 0
        video = np.repeat(x0[:, None], frames, axis=1)
        if moved.any():
            video[moved] = self.synthesizer.respond(
                x0[moved], clips["poke_position"][moved], displacements[moved], frames
            )
        return np.repeat(video[:, None], samples, axis=1)

    def log_likelihood(self, clips: Batch, numbers: Sequence[int], seed: int, exact: bool) -> Array:
        raise UserError("a poke model has one answer and no likelihood: leave such metrics out of --metrics")

    def latent(self, video: Array) -> Array:
        """The deepest object states of the first and the last frame."""
        return np.concatenate([self.synthesizer.states(video[:, frame]) for frame in (0, self.latent_frames)], axis=1)

    @property
    def latent_frames(self) -> int:
        return self.synthesizer.frames

    @property
    def latent_dimensions(self) -> int:
        return 0


def answers_to_pokes(config: ConfigDict) -> bool:
    """Whether a model of this configuration is told pokes."""
    return is_poke_model(config) or ("control" in config and controls.get(config.control).takes_pokes)


def load_candidate(
    workdir: str | os.PathLike[str],
    *,
    name: str = "",
    told: ToldControl = "own",
    temperature: float = 1.0,
    batch_size: int = 8,
    checkpoint: Choice = "latest",
) -> Candidate:
    """The model of a work directory, on all devices of this process. `checkpoint` as in `sampling.load`.

    Raises:
        UserError: not a work directory of a trained image-to-video model, or no such checkpoint.
    """
    folder = pathlib.Path(workdir)
    config = read_workdir(folder)
    if not {"video_vae", "poke"} & set(config.stages):
        raise UserError(f"{folder} holds {', '.join(config.stages)}: no model that makes a video of a start frame")
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("clips",), axis_types=(AxisType.Auto,), devices=devices)
    poked = is_poke_model(config)
    load = load_poke_synthesizer if poked else load_synthesizer
    loaded = load(folder, checkpoint=checkpoint)
    synthesizer = dataclasses.replace(loaded, chunk=batch_size, mesh=mesh)
    common = {
        "name": name or folder.resolve().name,
        "synthesizer": synthesizer,
        "config": config,
        "checkpoint_sha256": variables_sha256(synthesizer.variables),
        "step": int(load_networks(folder / config.stages[-1], step=checkpoint)["step"]),
        "temperature": temperature,
    }
    return PokedCandidate(**common) if poked else StochasticCandidate(**common, told=told)


def variables_sha256(variables: Mapping[str, Any]) -> str:
    """Of all arrays with their paths, types and shapes, in the order of the paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(flax.traverse_util.flatten_dict(dict(variables), sep="/").items()):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{path} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
