"""The perceptual term of the objectives, chosen by name in the config."""

from collections.abc import Callable
from typing import Any

import jax

from i2v_jax.errors import UserError
from i2v_jax.interop import weights
from i2v_jax.perceptual.laplacian import laplacian_distance
from i2v_jax.perceptual.lpips import LPIPS
from i2v_jax.tasks.base import Networks

Distance = Callable[[Networks, jax.Array, jax.Array], Any]


def make_distance(name: str, dtype: str) -> tuple[Distance, Networks]:
    """A distance (networks, a, b [B, H, W, 3] in [-1, 1]) -> [B], and the frozen networks that it needs.

    Raises:
      UserError: an unknown name, or "lpips" without its weights (the message names the command that gets them).
    """
    if name == "laplacian":
        return lambda networks, a, b: laplacian_distance(a, b), {}
    if name == "lpips":
        module = LPIPS(dtype=dtype)
        return lambda networks, a, b: module.apply(networks["lpips"], a, b), {"lpips": weights.load("lpips")}
    raise UserError(f"perceptual_network={name!r}: choose lpips or laplacian")
