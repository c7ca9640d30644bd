"""The metrics with a value for each clip: of pairs of clips, of samples of one start frame, of likelihoods."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from i2v_jax.metrics import paired
from i2v_jax.metrics.base import Metric, Reads, Score, State, rows_of
from i2v_jax.metrics.diversity import clip_diversity, frame_diversity
from i2v_jax.models.flow import bits_per_dimension
from i2v_jax.pretrained.networks import lpips
from i2v_jax.pretrained.networks.vgg import VGG


class ClipMetric(Metric):
    """Its value is the mean over clips of what `extract` returns; a curve per frame [B, T] is averaged over frames."""

    def compute(self, state: State, repeat: int = 0, latent_dimensions: int = 0) -> Score:
        rows = self.rows(state, repeat, latent_dimensions)
        return Score(float(rows.mean()), rows.mean(axis=0)) if rows.ndim == 2 else Score(float(rows.mean()))

    def clip_values(self, state: State, repeat: int = 0, latent_dimensions: int = 0) -> NDArray[np.float64]:
        rows = self.rows(state, repeat, latent_dimensions)
        return rows.reshape(len(rows), -1).mean(axis=1)

    def rows(self, state: State, repeat: int, latent_dimensions: int) -> NDArray[np.float64]:
        """Returns the values of each clip, [N] or [N, T]."""
        return rows_of(state, str(repeat))


class PairMetric(ClipMetric):
    """Compares each generated clip with the real one. `extract` returns curves [B, T]."""

    reads: ClassVar[Reads] = Reads.PAIRS


class PSNR(PairMetric):
    """See `paired.psnr`."""

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        return paired.psnr_per_frame(*videos)


class SSIM(PairMetric):
    """See `paired.ssim`."""

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        return paired.ssim_per_frame(*videos)


class LPIPS(PairMetric):
    """See `pretrained.networks.lpips`. One frame of all clips at a time, to save memory."""

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        def distance(frames: tuple[jax.Array, ...]) -> Any:
            return lpips.LPIPS().apply(variables, *frames)

        pairs = tuple(jnp.moveaxis(jnp.asarray(video), 1, 0) for video in videos)
        return jnp.moveaxis(jax.lax.map(distance, pairs), 0, 1)


class DiversityMetric(ClipMetric):
    """Compares samples of one start frame [B, S, T, H, W, 3] with each other. `extract` returns [B]."""

    reads: ClassVar[Reads] = Reads.SAMPLES


class ClipDiversity(DiversityMetric):
    """See `diversity.clip_diversity`, of the backbone's `layer`."""

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        return clip_diversity(lambda clips: clip_features(self, variables, clips), *videos)


class FrameDiversity(DiversityMetric):
    """See `diversity.frame_diversity`, of the VGG16 that is part of LPIPS."""

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        def layers(images: jax.Array) -> list[jax.Array]:
            features: Any = VGG(16).apply({"params": variables["params"]["vgg"]}, self.preprocessing(images))
            return [features[layer] for layer in lpips.LAYERS]

        return frame_diversity(layers, *videos)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LogLikelihood(ClipMetric):
    """log p(z | x0) in nats of one posterior sample of z for each real clip."""

    exact: bool = True  # with the log-determinants of the activations, which the authors' script leaves out

    reads: ClassVar[Reads] = Reads.LIKELIHOOD

    @property
    def table(self) -> str:
        return "log_likelihood" if self.exact else "log_likelihood_release"

    def extract(self, variables: Any, *videos: jax.Array) -> jax.Array:
        (nats,) = videos
        return nats


class BitsPerDimension(LogLikelihood):
    """The same in bits per dimension of z."""

    def rows(self, state: State, repeat: int, latent_dimensions: int) -> NDArray[np.float64]:
        return bits_per_dimension(super().rows(state, repeat, latent_dimensions), latent_dimensions)


def clip_features(metric: Metric, variables: Any, videos: jax.Array) -> jax.Array:
    """Returns the features [B, D] of whole clips in the metric's layer of I3D."""
    assert metric.backbone is not None
    return getattr(metric.backbone.module().apply(variables, metric.preprocessing(videos)), metric.layer)
