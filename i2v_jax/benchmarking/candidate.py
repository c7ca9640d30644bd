"""The model that is measured, as functions of batches of clips."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import flax.traverse_util
import jax
import numpy as np
from jax.sharding import AxisType
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.benchmarking.clips import Batch
from i2v_jax.config import read_workdir
from i2v_jax.errors import UserError
from i2v_jax.evaluation.records import ModelIdentity
from i2v_jax.sampling.load import load_synthesizer
from i2v_jax.sampling.synthesizer import CLIP_FRAMES, VideoSynthesizer
from i2v_jax.tasks.control import clip_control
from i2v_jax.training.checkpoint import load_networks

Array = NDArray[np.float32]
# What a model with control is told: the true clip's own, or one drawn at random for each sample.
ToldControl = Literal["own", "random"]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trained model. What it makes of a clip depends on the seed and the clip's number, not on batches or devices."""

    name: str
    synthesizer: VideoSynthesizer
    config: ConfigDict
    checkpoint_sha256: str
    step: int
    told: ToldControl = "own"
    temperature: float = 1.0

    def identity(self, seed: int) -> ModelIdentity:
        return ModelIdentity(self.name, self.checkpoint_sha256, self.step, seed, self.temperature)

    @property
    def condition(self) -> str:
        """What the model is told beside the start frame, for the record; empty: nothing."""
        kind = self.synthesizer.control
        return "" if kind == "none" else f"told {'the true' if self.told == 'own' else 'a random'} {kind}"

    def sample(self, clips: Batch, numbers: Sequence[int], seed: int, samples: int, frames: int) -> Array:
        """Clips with x0 first -> videos [B, S, frames, H, W, 3] in [-1, 1]."""
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
        """log p(z | x0) [B] in nats, see `VideoSynthesizer.log_likelihood`."""
        video = clips["video"][:, : CLIP_FRAMES + 1]
        return self.synthesizer.log_likelihood(
            video, jax.random.key(seed), self._eta(clips), exact=exact, numbers=numbers
        )

    def latent(self, video: Array) -> Array:
        """[B, 1 + T, H, W, 3] -> [B, z], where clips of similar motion are close."""
        return self.synthesizer.latent_mean(video[:, : CLIP_FRAMES + 1])

    @property
    def latent_dimensions(self) -> int:
        return self.synthesizer.z_dim

    def _eta(self, clips: Batch) -> Array | None:
        kind = self.synthesizer.control
        if kind == "none":
            return None
        if kind == "poke":
            raise UserError("this model is controlled by pokes, which other clips do not carry: give --protocol=plants")
        try:
            return np.asarray(clip_control(kind, clips, self.synthesizer.size))
        except UserError as error:
            raise UserError(f"{error}: give --control=random") from error


def load_candidate(
    workdir: str | os.PathLike[str],
    *,
    name: str = "",
    told: ToldControl = "own",
    temperature: float = 1.0,
    batch_size: int = 8,
) -> Candidate:
    """The model of a work directory, on all devices of this process.

    Raises:
        UserError: not a work directory of a trained image-to-video model.
    """
    folder = pathlib.Path(workdir)
    config = read_workdir(folder)
    if "video_vae" not in config.stages:
        raise UserError(
            f"{folder} holds {', '.join(config.stages)}: no model that makes a video of a start frame alone"
        )
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), ("clips",), axis_types=(AxisType.Auto,), devices=devices)
    synthesizer = dataclasses.replace(load_synthesizer(folder), chunk=batch_size, mesh=mesh)
    return Candidate(
        name or folder.resolve().name,
        synthesizer,
        config,
        variables_sha256(synthesizer.variables),
        int(load_networks(folder / config.stages[-1])["step"]),
        told,
        temperature,
    )


def variables_sha256(variables: Mapping[str, Any]) -> str:
    """Of all arrays with their paths, types and shapes, in the order of the paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(flax.traverse_util.flatten_dict(dict(variables), sep="/").items()):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{path} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
