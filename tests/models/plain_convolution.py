"""Other implementations of convolution: references, and ones that compile faster or are faster in double precision."""

import itertools

import jax
import jax.numpy as jnp


def direct(x, kernel, strides, padding):
    """Convolves with XLA's own operation; arguments are those of `i2v_jax.models.convolution.convolve`."""
    names = ("NHWC", "HWIO", "NHWC") if len(strides) == 2 else ("NDHWC", "DHWIO", "NDHWC")
    return jax.lax.conv_general_dilated(x, kernel, strides, [(p, p) for p in padding], dimension_numbers=names)


def convolve(x, kernel, strides, padding):
    """Convolves as a sum of matrix products over kernel positions; arguments are the same."""
    rank = len(strides)
    x = jnp.pad(x, [(0, 0), *((p, p) for p in padding), (0, 0)])
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], kernel.shape[:rank], strides, strict=True)]
    spans = [stride * (n - 1) + 1 for n, stride in zip(sizes, strides, strict=True)]
    each = tuple(slice(None, None, stride) for stride in (1, *strides))

    @jax.checkpoint  # the gradient would otherwise keep a copy of x for every position
    def product(x, matrix, offset):
        return jax.lax.dynamic_slice(x, [0, *offset, 0], [x.shape[0], *spans, x.shape[-1]])[each] @ matrix

    offsets = jnp.array(list(itertools.product(*map(range, kernel.shape[:rank]))))
    total = jnp.zeros((x.shape[0], *sizes, kernel.shape[-1]), x.dtype)
    matrices = kernel.reshape(-1, *kernel.shape[rank:])
    return jax.lax.scan(lambda total, at: (total + product(x, *at), None), total, (matrices, offsets))[0]
