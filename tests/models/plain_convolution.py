"""Convolution as a sum over kernel positions of matrix products: an oracle, and the quick way in double precision."""

import functools
import itertools

import jax
import jax.numpy as jnp


# Checkpointed: the gradient would otherwise keep a copy of x for every position.
@functools.partial(jax.checkpoint, static_argnums=(2, 3))
def convolve(x, kernel, strides, padding):
    """As `i2v_jax.models.convolution.convolve`."""
    rank = len(strides)
    x = jnp.pad(x, [(0, 0), *((p, p) for p in padding), (0, 0)])
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], kernel.shape[:rank], strides, strict=True)]
    total = jnp.zeros((x.shape[0], *sizes, kernel.shape[-1]), x.dtype)
    for offset in itertools.product(*(range(k) for k in kernel.shape[:rank])):
        window = tuple(slice(o, o + s * (n - 1) + 1, s) for o, s, n in zip(offset, strides, sizes, strict=True))
        total += x[(slice(None), *window)] @ kernel[offset]
    return total
