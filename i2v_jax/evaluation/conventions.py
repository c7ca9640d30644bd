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
    version: int = 1  # raised when the same input gives another number


def _i3d(title: str, backbone: str, layer: str, corners: str, **changes: Any) -> Convention:
    convention = Convention(
        title, "frechet", backbone, layer, resize_kernel="bilinear", resize_corners=corners, resize=224, min_frames=9
    )
    return dataclasses.replace(convention, **changes)


_TF1, _ALIGNED, _HALF_PIXEL = "tf1_legacy", "aligned", "half_pixel"
_IMAGENET = "[0, 1] with ImageNet mean and deviation"

CONVENTIONS: Mapping[str, Convention] = {
    "fvd": _i3d("FVD", "i3d_kinetics", "logits", _TF1),
    "pfvd": _i3d("PFVD", "i3d_kinetics", "logits", _ALIGNED, input_range="[0, 1]"),
    "dtfvd_16": _i3d("DTFVD", "i3d_dynamic_textures_16", "logits", _ALIGNED, max_frames=16),
    "dtfvd_32": _i3d("DTFVD", "i3d_dynamic_textures_32", "logits", _ALIGNED, min_frames=32, max_frames=32),
    "fid": Convention("FID", "frechet", "inception_fid", "pool3", "[-1, 1]", "bilinear", _HALF_PIXEL, 299),
    # The release's network expects [0, 1] and gets [-1, 1]: 2 x - 1 is in [-3, 1].
    "fid_release": Convention(
        "FID", "frechet", "inception_fid", "pool3", "[-3, 1] (unscaled)", "bilinear", _HALF_PIXEL, 299
    ),
    "fid_per_frame": Convention(
        "FID per frame", "frechet", "torchvision_inception", "pool3", _IMAGENET, "bilinear", _HALF_PIXEL, 299
    ),
    "lpips": Convention("LPIPS", "paired", "lpips_vgg16", "relu1_2 to relu5_3"),
    "psnr": Convention("PSNR", "paired", input_range="[0, 1]", higher_is_better=True),
    "ssim": Convention("SSIM", "paired", input_range="[0, 1]", higher_is_better=True),
    "diversity_vgg": Convention(
        "DIV VGG", "diversity", "torchvision_vgg16", "relu1_2, relu2_2, relu3_3, relu4_3, relu5_3", _IMAGENET,
        "bilinear", _HALF_PIXEL, 224, higher_is_better=True,
    ),
    "diversity_i3d": _i3d("DIV I3D", "i3d_kinetics", "logits", _TF1, kind="diversity", higher_is_better=True),
    "diversity_dti3d_16": _i3d(
        "DIV DTI3D", "i3d_dynamic_textures_16", "logits", _ALIGNED, kind="diversity", max_frames=16,
        higher_is_better=True, printed_times=1000.0,
    ),
    "diversity_dti3d_32": _i3d(
        "DIV DTI3D", "i3d_dynamic_textures_32", "logits", _ALIGNED, kind="diversity", min_frames=32, max_frames=32,
        higher_is_better=True, printed_times=1000.0,
    ),
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
