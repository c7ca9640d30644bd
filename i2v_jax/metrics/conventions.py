"""What each metric feeds to which network: the conventions of the papers and of their releases."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from i2v_jax.errors import UserError

# frechet: between the sets of real and generated clips; paired: of each generated clip and the true one;
# diversity: among samples of one start frame; likelihood: of the true clip's latent under the flow.
Kind = Literal["frechet", "paired", "diversity", "likelihood"]


@dataclasses.dataclass(frozen=True)
class Convention:
    """How a metric is defined beyond the clips that it sees."""

    title: str
    kind: Kind
    backbone: str = "none"
    layer: str = "none"
    input_range: str = "[-1, 1]"
    resize_kernel: str = "none"
    resize_corners: str = "none"
    resize: int = 0  # height and width that the backbone sees, 0: those of the frames
    min_frames: int = 1
    max_frames: int = 0  # 0: any number
    higher_is_better: bool = False
    printed_times: float = 1.0  # the papers print the value times this
    release_batch: int = 1  # the authors' script drops the clips that do not fill a batch of so many
    release_start_frame: bool = False  # their script has x0 among the frames, where the protocol scores it
    version: int = 1  # raised when the same input gives another number

    @property
    def compares_videos(self) -> bool:
        """A Fréchet distance between sets of videos, not of frames."""
        return self.kind == "frechet" and "inception" not in self.backbone

    @property
    def pools_frames(self) -> bool:
        """A Fréchet distance between sets of the frames of all times, many more than clips."""
        return self.kind == "frechet" and self.backbone == "inception_fid"


def _i3d(title: str, backbone: str, layer: str, corners: str, **changes: Any) -> Convention:
    convention = Convention(
        title, "frechet", backbone, layer, resize_kernel="bilinear", resize_corners=corners, resize=224, min_frames=9
    )
    return dataclasses.replace(convention, **changes)


_TF1, _ALIGNED, _HALF_PIXEL = "tf1_legacy", "aligned", "half_pixel"
_IMAGENET = "[0, 1] with ImageNet mean and deviation"

_DTFVD_16 = _i3d("DTFVD", "i3d_dynamic_textures_16", "logits", _ALIGNED, max_frames=16)
_DTFVD_32 = _i3d("DTFVD", "i3d_dynamic_textures_32", "logits", _ALIGNED, min_frames=32, max_frames=32)
_FID_PER_FRAME = Convention(
    "FID per frame", "frechet", "torchvision_inception", "pool3", _IMAGENET, "bilinear", _HALF_PIXEL, 299
)


def _diversity(distance: Convention) -> Convention:
    """Of the dynamic-texture network behind a DTFVD."""
    return dataclasses.replace(
        distance, title="DIV DTI3D", kind="diversity", higher_is_better=True, printed_times=1000.0
    )


CONVENTIONS: Mapping[str, Convention] = {
    "fvd": _i3d("FVD", "i3d_kinetics", "logits", _TF1, release_batch=16),
    "pfvd": _i3d("PFVD", "i3d_kinetics", "logits", _ALIGNED, input_range="[0, 1]"),
    "dtfvd_16": _DTFVD_16,
    "dtfvd_32": _DTFVD_32,
    # The release's scripts take the features in front of the classifier, and whole batches of them.
    "dtfvd_16_release": dataclasses.replace(_DTFVD_16, layer="pooled", release_batch=40),
    "dtfvd_32_release": dataclasses.replace(_DTFVD_32, layer="pooled", release_batch=40),
    "fid": Convention("FID", "frechet", "inception_fid", "pool3", "[-1, 1]", "bilinear", _HALF_PIXEL, 299),
    # The release's network expects [0, 1] and gets [-1, 1]: 2 x - 1 is in [-3, 1].
    "fid_release": Convention(
        "FID", "frechet", "inception_fid", "pool3", "[-3, 1] (unscaled)", "bilinear", _HALF_PIXEL, 299,
        release_start_frame=True,
    ),
    "fid_per_frame": _FID_PER_FRAME,
    # Average pools in the place of the two max pools between the first layers.
    "fid_per_frame_release": dataclasses.replace(_FID_PER_FRAME, layer="pool3 behind an average-pooled stem"),
    "lpips": Convention("LPIPS", "paired", "lpips_vgg16", "relu1_2 to relu5_3", release_start_frame=True),
    "psnr": Convention("PSNR", "paired", input_range="[0, 1]", higher_is_better=True),
    "ssim": Convention("SSIM", "paired", input_range="[0, 1]", higher_is_better=True),
    "diversity_vgg": Convention(
        "DIV VGG", "diversity", "lpips_vgg16", "relu1_2, relu2_2, relu3_3, relu4_3, relu5_3", _IMAGENET,
        "bilinear", _HALF_PIXEL, 224, higher_is_better=True,
    ),
    "diversity_i3d": _i3d(
        "DIV I3D", "i3d_kinetics", "logits", _TF1, kind="diversity", higher_is_better=True, release_batch=16
    ),
    "diversity_dti3d_16": _diversity(_DTFVD_16),
    "diversity_dti3d_32": _diversity(_DTFVD_32),
    "diversity_dti3d_16_release": dataclasses.replace(_diversity(_DTFVD_16), layer="pooled", release_batch=20),
    "diversity_dti3d_32_release": dataclasses.replace(_diversity(_DTFVD_32), layer="pooled", release_batch=20),
    "log_likelihood": Convention(
        "log p(z | x0), nats", "likelihood", layer="exact log-determinant", higher_is_better=True
    ),
    "bits_per_dimension": Convention("bits per dimension of z", "likelihood", layer="exact log-determinant"),
    "log_likelihood_release": Convention(
        "log p(z | x0), nats", "likelihood", layer="log-determinant without the activations", higher_is_better=True
    ),
    "bits_per_dimension_release": Convention(
        "bits per dimension of z", "likelihood", layer="log-determinant without the activations"
    ),
}  # fmt: skip

# What the authors' scripts compute under the name of another metric.
_RELEASE = {name.removesuffix("_release"): name for name in CONVENTIONS if name.endswith("_release")}


def release_name(metric: str) -> str:
    """The metric that the authors' release computes in place of `metric`: mostly the same."""
    return _RELEASE.get(metric, metric)


def convention(metric: str) -> Convention:
    """Raises UserError for a metric that there is not."""
    if metric not in CONVENTIONS:
        raise UserError(f"there is no metric {metric!r}: choose from {', '.join(CONVENTIONS)}")
    return CONVENTIONS[metric]
