"""All metrics by name. The conventions are those of the papers and of the authors' releases."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from i2v_jax.errors import UserError
from i2v_jax.metrics.base import Backbone, Metric, Reads
from i2v_jax.metrics.frechet_metrics import FrechetMetric, FrechetOfFrames, FrechetPerFrame
from i2v_jax.metrics.kinds import LPIPS, PSNR, SSIM, BitsPerDimension, ClipDiversity, FrameDiversity, LogLikelihood
from i2v_jax.metrics.preprocessing import IMAGENET, SIGNED, UNIT, UNSCALED, Preprocessing

_KINETICS = Backbone("i3d_kinetics", "i3d")
_KINETICS_PORT = Backbone("i3d_kinetics", "i3d_port")
_FID_INCEPTION = Backbone("inception_fid", "inception_fid")
_INCEPTION = Backbone("torchvision_inception", "inception_v3")
_LPIPS_VGG = Backbone("lpips_vgg16", "lpips")  # VGG16 is part of LPIPS

_TF1 = Preprocessing(SIGNED, 224, "tf1_legacy")
_ALIGNED = Preprocessing(SIGNED, 224, "aligned")

_I3D: dict[str, Any] = {"layer": "logits", "min_frames": 9}
_INCEPTION_V3: dict[str, Any] = {"layer": "pool3", "preprocessing": Preprocessing(IMAGENET, 299, "half_pixel")}
_EXACT = "exact log-determinant"
_INEXACT = "log-determinant without the activations"


def _dynamic_textures(frames: int, **changes: Any) -> dict[str, Any]:
    """Returns the fields of metrics of the I3D for clips of 16 or of 32 frames of dynamic textures."""
    backbone = f"i3d_dynamic_textures_{frames}"
    return {
        "backbone": Backbone(backbone, backbone),
        "preprocessing": _ALIGNED,
        "layer": "logits",
        "min_frames": 9 if frames == 16 else frames,
        "max_frames": frames,
        **changes,
    }


def _dtfvd(frames: int) -> tuple[Metric, ...]:
    """Returns the fields of DTFVD. The release uses the features before the classifier, in complete batches."""
    name = f"dtfvd_{frames}"
    fields = {"title": "DTFVD", "full_name": "Fréchet video distance of dynamic textures", **_dynamic_textures(frames)}
    release = {"layer": "pooled", "release_batch": 40}
    return (
        FrechetMetric(name=name, release=f"{name}_release", **fields),
        FrechetMetric(name=f"{name}_release", **{**fields, **release}),
    )


def _dti3d(frames: int) -> tuple[Metric, ...]:
    """Returns the fields of DTI3D diversity; see `_dtfvd`."""
    name = f"diversity_dti3d_{frames}"
    fields = {
        "title": "DIV DTI3D",
        "full_name": "Diversity of samples in features of dynamic textures",
        "higher_is_better": True,
        "printed_times": 1000.0,
        **_dynamic_textures(frames),
    }
    release = {"layer": "pooled", "release_batch": 20}
    return (
        ClipDiversity(name=name, release=f"{name}_release", **fields),
        ClipDiversity(name=f"{name}_release", **{**fields, **release}),
    )


def _with_release(metric: Metric, **changes: Any) -> tuple[Metric, Metric]:
    """Returns a metric, and the one that the authors' scripts compute under its name."""
    name = f"{metric.name}_release"
    return dataclasses.replace(metric, release=name), dataclasses.replace(metric, name=name, **changes)


_ALL: Iterable[Metric] = (
    FrechetMetric(
        name="fvd", title="FVD", full_name="Fréchet video distance", backbone=_KINETICS, preprocessing=_TF1,
        release_batch=16, **_I3D,
    ),
    FrechetMetric(
        name="pfvd", title="PFVD", full_name="Fréchet video distance of the PyTorch port", backbone=_KINETICS_PORT,
        preprocessing=Preprocessing(UNIT, 224, "aligned"), **_I3D,
    ),
    *_dtfvd(16),
    *_dtfvd(32),
    # The release's network expects [0, 1] and gets [-1, 1].
    *_with_release(
        FrechetOfFrames(
            name="fid", title="FID", full_name="Fréchet inception distance of all frames", backbone=_FID_INCEPTION,
            layer="pool3", preprocessing=Preprocessing(SIGNED, 299, "half_pixel"),
        ),
        preprocessing=Preprocessing(UNSCALED, 299, "half_pixel"), release_start_frame=True,
    ),
    # The release's network has average pools in place of the two max pools between its first layers.
    *_with_release(
        FrechetPerFrame(
            name="fid_per_frame", title="FID per frame", full_name="Fréchet inception distance, mean over frames",
            backbone=_INCEPTION, **_INCEPTION_V3,
        ),
        backbone=dataclasses.replace(_INCEPTION, fields={"variant": "torchvision_average_stem"}),
        layer="pool3 behind an average-pooled stem",
    ),
    LPIPS(
        name="lpips", title="LPIPS", full_name="Learned perceptual distance between frames", backbone=_LPIPS_VGG,
        layer="relu1_2 to relu5_3", release_start_frame=True,
    ),
    SSIM(
        name="ssim", title="SSIM", full_name="Structural similarity", higher_is_better=True,
        preprocessing=Preprocessing(UNIT),
    ),
    PSNR(
        name="psnr", title="PSNR", full_name="Peak signal-to-noise ratio", unit="dB", higher_is_better=True,
        preprocessing=Preprocessing(UNIT),
    ),
    FrameDiversity(
        name="diversity_vgg", title="DIV VGG", full_name="Diversity of samples in features of VGG16",
        backbone=_LPIPS_VGG, layer="relu1_2, relu2_2, relu3_3, relu4_3, relu5_3",
        preprocessing=Preprocessing(IMAGENET, 224, "half_pixel"), higher_is_better=True,
    ),
    ClipDiversity(
        name="diversity_i3d", title="DIV I3D", full_name="Diversity of samples in features of I3D", backbone=_KINETICS,
        preprocessing=_TF1, higher_is_better=True, release_batch=16, **_I3D,
    ),
    *_dti3d(16),
    *_dti3d(32),
    *_with_release(
        LogLikelihood(
            name="log_likelihood", title="log p(z | x0)", full_name="Log-likelihood of the latent", unit="nats",
            higher_is_better=True, layer=_EXACT,
        ),
        exact=False, layer=_INEXACT,
    ),
    *_with_release(
        BitsPerDimension(
            name="bits_per_dimension", title="-log p(z | x0) per dimension",
            full_name="Negative log-likelihood of the latent", unit="bits", layer=_EXACT,
        ),
        exact=False, layer=_INEXACT,
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def register(metric: Metric) -> None:
    """Adds a metric from outside the package. Raises UserError if another metric has its name."""
    if METRICS.setdefault(metric.name, metric) is not metric:
        raise UserError(
            f"a metric named {metric.name!r} is already registered: choose another name", "name", metric.name
        )


def get_metric(name: str) -> Metric:
    """Returns a metric by its name. Raises UserError for an unknown one, which lists the known ones."""
    if name not in METRICS:
        raise UserError(f"unknown metric {name!r}: choose from {', '.join(METRICS)}", field="metrics", value=name)
    return METRICS[name]


def release_name(name: str) -> str:
    """Returns the metric that the authors' scripts compute in place of this one, which is mostly the same."""
    return get_metric(name).release or name


def ranking_metric(names: Iterable[str]) -> Metric | None:
    """Returns the metric that orders clips from best to worst: the first of the table that compares pairs of clips."""
    chosen = set(names)
    return next((item for item in METRICS.values() if item.name in chosen and item.reads is Reads.PAIRS), None)
