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


def make_distance(name: str, dtype: str, field: str = "") -> tuple[Distance, Networks]:
    """Returns a distance (networks, a, b [B, H, W, 3] in [-1, 1]) -> [B], and the frozen networks that it uses.

    "lpips" is the cINN paper's, "vgg19" (or "vgg16") the poke paper's. "laplacian" and "charbonnier" need no weights
    (`pretrained.laplacian`); "charbonnier" penalizes small errors less.

    Args:
      name: one of `NAMES`.
      dtype: of the computation.
      field: the configuration field that `name` comes from, for messages.

    Raises:
      UserError: an unknown name, or missing weights (the message names the command that gets them).
    """
    if name in _PENALTIES:
        return lambda networks, a, b: laplacian_distance(a, b, epsilon=_PENALTIES[name]), {}
    if name == "lpips":
        module = LPIPS(dtype=dtype)
        frozen = {"lpips": _load("lpips", name, field)}
        return lambda networks, a, b: module.apply(networks["lpips"], a, b), frozen
    if name in ("vgg16", "vgg19"):
        vgg = VGG(int(name.removeprefix("vgg")), dtype=dtype)
        return lambda networks, a, b: vgg_distance(vgg, networks[name], a, b), {name: _vgg_variables(name, field)}
    raise UserError(f"{field or 'perceptual_network'}={name}: choose {', '.join(NAMES)}", field, name)


def description(name: str, field: str, pretrained: str) -> str:
    """Returns what a log says about a distance.

    Args:
      name: one of `NAMES`.
      field: the configuration field that it comes from.
      pretrained: the distance to recommend in place of one without pretrained weights.
    """
    if name not in _PENALTIES:
        return f"perceptual loss: {name}, with pretrained weights"
    penalty = "Charbonnier penalty" if _PENALTIES[name] else "L1"
    return (
        f"perceptual loss: {name} ({penalty} between Laplacian pyramids), which needs no download; for {pretrained}, "
        f"run {command('weights', '--fetch', 'lpips')} and set {field}={pretrained}"
    )


def _vgg_variables(name: str, field: str) -> Variables:
    """Returns the variables of VGG16, which is part of LPIPS."""
    if name == "vgg16":
        return {"params": _load("lpips", name, field)["params"]["vgg"]}
    return _load(name, name, field)


def _load(backbone: str, name: str, field: str) -> Variables:
    try:
        return weights.load(backbone)
    except UserError as error:
        if not field:
            raise
        easier = f"{field}=vgg16, whose weights can be fetched, or " if name == "vgg19" else ""
        message = f"{error}; or set {easier}{field}=laplacian, which needs no weights"
        raise UserError(message, field, name) from error
