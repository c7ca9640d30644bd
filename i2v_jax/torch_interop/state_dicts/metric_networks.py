"""State dicts of the backbones of metrics, I3D and InceptionV3: modules, and our path of each key."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.pretrained.networks import i3d, inception
from i2v_jax.torch_interop.state_dicts import layout
from i2v_jax.torch_interop.state_dicts.layout import Entry

Config = Mapping[str, Any]

DYNAMIC_TEXTURES = 18
_STEM = ("conv3d_1a_7x7", "conv3d_2b_1x1", "conv3d_2c_3x3")
# The units of a mixed block: our name -> that in the PyTorch port of the Kinetics network, that in the networks for
# dynamic textures, and that in TensorFlow.
_UNITS = {
    "branch_0": ("branch_0", "b0", "Branch_0/Conv3d_0a_1x1"),
    "branch_1a": ("branch_1.0", "b1a", "Branch_1/Conv3d_0a_1x1"),
    "branch_1b": ("branch_1.1", "b1b", "Branch_1/Conv3d_0b_3x3"),
    "branch_2a": ("branch_2.0", "b2a", "Branch_2/Conv3d_0a_1x1"),
    "branch_2b": ("branch_2.1", "b2b", "Branch_2/Conv3d_0b_3x3"),
    "branch_3b": ("branch_3.1", "b3b", "Branch_3/Conv3d_0b_1x1"),
}
_PORT, _DYNAMIC_TEXTURES, _TENSORFLOW = range(3)
_POINTWISE_TO_LINEAR = layout.Transform(lambda a: a[:, :, 0, 0, 0].T, lambda a: a.T[:, :, None, None, None])


def i3d_kinetics(config: Config) -> i3d.I3D:
    """Returns the network of 400 actions; the config is not used."""
    return i3d.I3D()


def i3d_kinetics_entries(config: Config) -> list[Entry]:
    """Returns the keys of the PyTorch port, `model_rgb.pth`."""
    entries = []
    for ours, theirs in _i3d_units(_PORT, "."):
        entries += _conv_norm(f"{theirs}.conv3d", f"{theirs}.batch3d", ours, layout.CONV3D)
    return entries + _logits("conv3d_0c_1x1.conv3d")


def i3d_dynamic_textures(config: Config) -> i3d.I3D:
    """Returns the classifier of 18 dynamic textures; `config` has `frames`, the length of its training clips.

    Raises:
      UserError: `frames` is neither 16 nor 32.
    """
    if config["frames"] not in (16, 32):
        raise UserError(
            f"invalid value for frames: {config['frames']} (must be 16 or 32, as I3Ds of dynamic textures have)",
            "frames",
            config["frames"],
        )
    return i3d.I3D(DYNAMIC_TEXTURES, pool_frames=config["frames"] // 8, eps=1e-5, dropout=0.5)


def i3d_dynamic_textures_entries(config: Config) -> list[Entry]:
    """Returns the keys of `I3D_16.pth.tar` and `I3D_32.pth.tar`."""
    entries = []
    for ours, theirs in _i3d_units(_DYNAMIC_TEXTURES, "."):
        key = _capitalized(theirs)
        entries += _conv_norm(f"{key}.conv3d", f"{key}.bn", ours, layout.CONV3D)
    return entries + _logits("logits.conv3d")


def example_clip(config: Config) -> tuple[jax.Array]:
    """Returns one clip that every I3D accepts, [1, 32, 224, 224, 3]."""
    return (jnp.zeros((1, 32, 224, 224, 3)),)


def i3d_from_tensorflow(tree: Any) -> layout.Variables:
    """Returns our variables from TensorFlow's of the Kinetics network, named as those of Flax's layers."""
    theirs = flax.traverse_util.flatten_dict(tree, sep="/")
    ours = {}
    for path, name in _i3d_units(_TENSORFLOW, "/"):
        key = _capitalized(name)
        bias = theirs[f"params/{key}/BatchNorm_0/bias"]
        ours[f"params/{path}/conv/kernel"] = theirs[f"params/{key}/Conv_0/kernel"]
        ours[f"params/{path}/norm/bias"] = bias
        ours[f"params/{path}/norm/scale"] = np.ones_like(bias)  # these batch norms have no scale
        for kind in ("mean", "var"):
            ours[f"batch_stats/{path}/norm/{kind}"] = theirs[f"batch_stats/{key}/BatchNorm_0/{kind}"].reshape(-1)
    logits = "params/Logits/Conv3d_0c_1x1/Conv_0"
    ours["params/logits/kernel"] = theirs[f"{logits}/kernel"][0, 0, 0]
    ours["params/logits/bias"] = theirs[f"{logits}/bias"]
    return flax.traverse_util.unflatten_dict(ours, sep="/")


def inception_v3(variant: inception.Variant) -> Callable[[Config], inception.InceptionV3]:
    """Returns the function that makes that InceptionV3; the config is not used."""
    return lambda config: inception.InceptionV3(variant)


def inception_entries(config: Config) -> list[Entry]:
    """Returns the keys of torchvision's InceptionV3 and of the FID network; those of the classifiers are optional."""
    entries = []
    for ours in inception.units():
        theirs = _capitalized(ours).replace("/", ".")
        entries += _conv_norm(f"{theirs}.conv", f"{theirs}.bn", ours, layout.CONV2D)
    ignored = [f"{layer}.{kind}" for layer in ("fc", "AuxLogits.fc") for kind in ("weight", "bias")]
    for unit in ("AuxLogits.conv0", "AuxLogits.conv1"):
        ignored += [entry.key for entry in _conv_norm(f"{unit}.conv", f"{unit}.bn", "", layout.CONV2D)]
    return entries + [Entry(key, "") for key in ignored]


def example_images(config: Config) -> tuple[jax.Array]:
    """Returns one image [1, 299, 299, 3]."""
    return (jnp.zeros((1, 299, 299, 3)),)


def _i3d_units(naming: int, separator: str) -> Iterator[tuple[str, str]]:
    """Yields our path of each convolution with batch norm, and its name elsewhere, the first letter in lower case."""
    yield from ((name, name) for name in _STEM)
    for block in i3d.MIXED:
        for ours, names in _UNITS.items():
            yield f"{block}/{ours}", f"{block}{separator}{names[naming]}"


def _capitalized(name: str) -> str:
    return name[0].upper() + name[1:]


def _conv_norm(conv: str, norm: str, ours: str, kernel: layout.Transform) -> list[Entry]:
    """Returns the entries of a convolution without bias and of the batch norm after it."""
    return [
        Entry(f"{conv}.weight", f"params/{ours}/conv/kernel", kernel),
        Entry(f"{norm}.weight", f"params/{ours}/norm/scale"),
        Entry(f"{norm}.bias", f"params/{ours}/norm/bias"),
        Entry(f"{norm}.running_mean", f"batch_stats/{ours}/norm/mean"),
        Entry(f"{norm}.running_var", f"batch_stats/{ours}/norm/var"),
        layout.batches_tracked(norm),
    ]


def _logits(theirs: str) -> list[Entry]:
    """Returns the entries of a linear map that is stored as a convolution over one position."""
    return [
        Entry(f"{theirs}.weight", "params/logits/kernel", _POINTWISE_TO_LINEAR),
        Entry(f"{theirs}.bias", "params/logits/bias"),
    ]
