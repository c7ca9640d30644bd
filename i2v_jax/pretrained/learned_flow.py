"""Optical flow by GMFlow between frames of any size, in batches on the default device."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from i2v_jax.pretrained import weights
from i2v_jax.pretrained.networks.gmflow import MULTIPLE
from i2v_jax.torch_interop.state_dicts.layout import Variables

_SIZE = 256  # of the shorter side, to which smaller frames are enlarged: matches are between patches of 8 pixels
_BATCH = 8  # pairs that an accelerator takes at once; one keeps all cores of a CPU busy

Estimator = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], Iterator[np.ndarray]]


def estimator() -> Estimator:
    """Returns a function of two lists of frames, uint8 [h, w, 3], that yields the flow of each pair, float32 [h, w, 2].

    All frames of a call have one size. Several threads may call it; one batch is computed at a time.

    Raises:
      UserError: the weights were not fetched, or are damaged.
    """
    module, variables = weights.module("gmflow"), jax.device_put(weights.load("gmflow"))
    size = 1 if jax.default_backend() == "cpu" else _BATCH
    alone = threading.Lock()

    def estimate(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        for begin in range(0, len(first), size):
            pairs = np.stack([first[begin : begin + size], second[begin : begin + size]])
            count = pairs.shape[1]
            filled = np.pad(pairs, ((0, 0), (0, size - count), (0, 0), (0, 0), (0, 0)), mode="edge")
            with alone:
                found = np.asarray(flow_of(module, variables, *filled))
            yield from found[:count]

    return estimate


@functools.partial(jax.jit, static_argnames="module")
def flow_of(module: nn.Module, variables: Variables, first: jax.Array, second: jax.Array) -> jax.Array:
    """Returns the flow, float32 [B, h, w, 2] in pixels, between frames, uint8 [B, h, w, 3].

    Frames are enlarged to a shorter side of 256 pixels, and their edges repeated up to multiples of 32. Matrix products
    are computed in full float32.
    """
    batch, height, width, _ = first.shape
    scale = max(1.0, _SIZE / min(height, width))
    target = round(height * scale), round(width * scale)
    pads = [((-side % MULTIPLE) // 2, (-side % MULTIPLE + 1) // 2) for side in target]

    def prepare(frames: jax.Array) -> jax.Array:
        enlarged = jax.image.resize(frames / 255.0, (batch, *target, 3), "cubic")
        return jnp.pad(jnp.clip(enlarged, 0.0, 1.0), ((0, 0), *pads, (0, 0)), mode="edge")

    with jax.default_matmul_precision("highest"):
        flow = jnp.asarray(module.apply(variables, prepare(first), prepare(second)))
        (top, _), (left, _) = pads
        flow = flow[:, top : top + target[0], left : left + target[1]]
        flow = jax.image.resize(flow, (batch, height, width, 2), "linear")
    return flow * np.array([width / target[1], height / target[0]], np.float32)
