"""What a metric takes from clips: its network with weights, range and resizing bound, as a function of arrays.

Frames are [-1, 1] throughout. The result for a clip does not depend on the others of the batch.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError
from i2v_jax.metrics import paired
from i2v_jax.metrics.conventions import Convention, convention
from i2v_jax.metrics.diversity import clip_diversity, frame_diversity
from i2v_jax.pretrained import weights
from i2v_jax.pretrained.networks import lpips
from i2v_jax.pretrained.networks.vgg import VGG
from i2v_jax.pretrained.resize import Corners, resize

NO_WEIGHTS = "none"

# Which of `python -m launch.weights` a metric needs. VGG16 is part of LPIPS.
_WEIGHTS: Mapping[str, str] = {
    "fvd": "i3d",
    "pfvd": "i3d_port",
    "dtfvd_16": "i3d_dynamic_textures_16",
    "dtfvd_32": "i3d_dynamic_textures_32",
    "dtfvd_16_release": "i3d_dynamic_textures_16",
    "dtfvd_32_release": "i3d_dynamic_textures_32",
    "fid": "inception_fid",
    "fid_release": "inception_fid",
    "fid_per_frame": "inception_v3",
    "fid_per_frame_release": "inception_v3",
    "lpips": "lpips",
    "diversity_vgg": "lpips",
    "diversity_i3d": "i3d",
    "diversity_dti3d_16": "i3d_dynamic_textures_16",
    "diversity_dti3d_32": "i3d_dynamic_textures_32",
    "diversity_dti3d_16_release": "i3d_dynamic_textures_16",
    "diversity_dti3d_32_release": "i3d_dynamic_textures_32",
}
_CORNERS: Mapping[str, Corners] = {"tf1_legacy": "legacy", "half_pixel": "half_pixel", "aligned": "aligned"}
_RANGES: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "[-1, 1]": lambda x: x,
    "[0, 1]": lambda x: (x + 1) / 2,
    "[-3, 1] (unscaled)": lambda x: 2 * x - 1,
    # The same statistics as those of LPIPS, which are for [-1, 1].
    "[0, 1] with ImageNet mean and deviation": lambda x: (x - lpips.SHIFT) / lpips.SCALE,
}

# (weights, videos) -> values per clip. Of a Fréchet distance: (weights, [B, T, H, W, 3]) -> features [B, D], or
# [B, T, D] of single frames. Paired: (weights, truth, video, both [B, T, H, W, 3]) -> curves [B, T]. Diversity:
# (weights, samples [B, S, T, H, W, 3]) -> [B].
Function = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Extractor:
    """A metric's part that sees pixels. The weights are an argument, so that no program contains them."""

    metric: str
    weights_sha256: str
    weights: Any
    function: Function

    @property
    def convention(self) -> Convention:
        return convention(self.metric)


def check_weights(metric: str) -> None:
    """Raises UserError, with the command that gets them, when the weights of `metric` are missing or damaged."""
    if metric in _WEIGHTS:
        weights.source_sha256(_WEIGHTS[metric])


def make_extractor(metric: str) -> Extractor:
    """The extractor of a Fréchet, paired or diversity metric.

    Raises:
        UserError: no such metric; missing weights (the message names the file and the command that gets it).
    """
    chosen = convention(metric)
    if metric not in _WEIGHTS:
        curves = {"psnr": paired.psnr_per_frame, "ssim": paired.ssim_per_frame}
        if metric not in curves:
            raise UserError(f"{metric} is not computed from frames")
        curve = curves[metric]
        return Extractor(metric, NO_WEIGHTS, {}, lambda _, truth, video: curve(truth, video))
    name = _WEIGHTS[metric]
    return Extractor(metric, weights.source_sha256(name), weights.load(name), _function(metric, chosen, name))


def _function(metric: str, chosen: Convention, name: str) -> Function:
    if metric == "lpips":
        return _lpips_curve
    if metric == "diversity_vgg":
        return lambda variables, samples: frame_diversity(lambda x: _vgg_layers(chosen, variables, x), samples)
    module: Any = weights.module(name)
    if metric == "fid_per_frame_release":
        module = module.clone(variant="torchvision_average_stem")
    if "inception" in chosen.backbone:
        return lambda variables, videos: _of_each_frame(lambda x: module.apply(variables, _seen(chosen, x)), videos)

    def clip_features(variables: Any, videos: jax.Array) -> jax.Array:
        return getattr(module.apply(variables, _seen(chosen, videos)), chosen.layer)

    if chosen.kind == "diversity":
        return lambda variables, samples: clip_diversity(lambda x: clip_features(variables, x), samples)
    return clip_features


def _seen(chosen: Convention, images: jax.Array) -> jax.Array:
    """[..., H, W, 3] in [-1, 1] -> what the backbone is given."""
    corners = _CORNERS[chosen.resize_corners]
    return resize(_RANGES[chosen.input_range](jnp.asarray(images)), chosen.resize, chosen.resize, corners)


def _lpips_curve(variables: Any, truth: jax.Array, video: jax.Array) -> jax.Array:
    def distance(frames: tuple[jax.Array, jax.Array]) -> Any:
        return lpips.LPIPS().apply(variables, *frames)

    pairs = (jnp.moveaxis(jnp.asarray(truth), 1, 0), jnp.moveaxis(jnp.asarray(video), 1, 0))
    return jnp.moveaxis(jax.lax.map(distance, pairs), 0, 1)


def _vgg_layers(chosen: Convention, variables: Any, images: jax.Array) -> list[jax.Array]:
    features: Any = VGG(16).apply({"params": variables["params"]["vgg"]}, _seen(chosen, images))
    return [features[layer] for layer in lpips.LAYERS]


def _of_each_frame(extract: Callable[[jax.Array], jax.Array], videos: jax.Array) -> jax.Array:
    """Features [B, T, D] of images; one frame of all clips at a time, for the memory."""
    return jnp.moveaxis(jax.lax.map(extract, jnp.moveaxis(jnp.asarray(videos), 1, 0)), 0, 1)
