"""The perceptual term of the objectives, chosen by name in the config."""

from collections.abc import Callable
from typing import Any

import jax

from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.pretrained import weights
from i2v_jax.pretrained.laplacian import CHARBONNIER, laplacian_distance
from i2v_jax.pretrained.networks.lpips import LPIPS
from i2v_jax.pretrained.networks.vgg import VGG
from i2v_jax.pretrained.vgg_distance import vgg_distance
from i2v_jax.tasks.base import Networks, Variables

Distance = Callable[[Networks, jax.Array, jax.Array], Any]
NAMES = ("lpips", "vgg19", "vgg16", "laplacian", "charbonnier")
_PENALTIES = {"laplacian": 0.0, "charbonnier": CHARBONNIER}


def make_distance(name: str, dtype: str) -> tuple[Distance, Networks]:
    """A distance (networks, a, b [B, H, W, 3] in [-1, 1]) -> [B], and the frozen networks that it needs.

    "lpips" is the cINN paper's, "vgg19" (or "vgg16") the poke paper's. "laplacian" and "charbonnier", of which the
    second cares less for small errors, need no weights (`pretrained.laplacian`).

    Raises:
      UserError: an unknown name, or a network without its weights (the message names the command that gets them).
    """
    if name in _PENALTIES:
        return lambda networks, a, b: laplacian_distance(a, b, epsilon=_PENALTIES[name]), {}
    if name == "lpips":
        module = LPIPS(dtype=dtype)
        return lambda networks, a, b: module.apply(networks["lpips"], a, b), {"lpips": _load(name, "lpips")}
    if name in ("vgg16", "vgg19"):
        vgg = VGG(int(name.removeprefix("vgg")), dtype=dtype)
        return lambda networks, a, b: vgg_distance(vgg, networks[name], a, b), {name: _vgg_variables(name)}
    raise UserError(f"perceptual_network={name!r}: choose {', '.join(NAMES)}")


def description(name: str, stage: str) -> str:
    """What a log says of the distance of a stage: what it is, and for a fallback what that of the paper needs."""
    if name not in _PENALTIES:
        return f"perceptual loss: {name}, by pretrained weights"
    penalty = "Charbonnier's penalty" if _PENALTIES[name] else "an L1"
    own, weighted = ("vgg16, nearest to the paper's", "vgg16") if stage == "poke" else ("lpips, the paper's", "lpips")
    return (
        f"perceptual loss: {name}, {penalty} between Laplacian pyramids that needs no download; {own}, "
        f"needs {command('weights', '--fetch', 'lpips')}, then loss.perceptual_network={weighted}"
    )


def _vgg_variables(name: str) -> Variables:
    """VGG16 is part of LPIPS."""
    if name == "vgg16":
        return {"params": _load(name, "lpips")["params"]["vgg"]}
    return _load(name, name)


def _load(name: str, backbone: str) -> Variables:
    try:
        return weights.load(backbone)
    except UserError as error:
        easier = "vgg16, whose weights are fetched, or " if name == "vgg19" else ""
        raise UserError(f"{error}; or set loss.perceptual_network to {easier}laplacian, which needs none") from error
