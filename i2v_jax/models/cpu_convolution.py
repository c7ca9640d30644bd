"""Convolutions on a CPU, where XLA's own are slow. `models/convolution.py` decides when these are used.

A 3D convolution folds frames into the batch and the time taps into the channels of one 2D convolution. A 2D convolution
with three kernel rows multiplies half as often (`winograd`). `benchmarks/convolutions.py` compares the formulations.
"""

import functools

import jax
import jax.export
import jax.numpy as jnp

_DIMENSION_NUMBERS = {2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}

Padding = tuple[tuple[int, int], ...]  # before and after, per axis

# Winograd's sums around the products cost as much as the saved products with fewer channels (input or output); its sums
# of kernels do with fewer output positions (of all images).
_WINOGRAD_CHANNELS, _WINOGRAD_POSITIONS = 48, 2048
_SMALL_MAP = 16  # up to this many output positions per image, a convolution is a product of patches
_WINOGRAD_POINTS = (
    0.75,
    1.5,
)  # and their negatives, 0, infinity; a third less rounding error than 1, 2


def convolve(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    """Returns the cross-correlation of x [B, H, W, I] or [B, T, H, W, I] with a kernel [(t,) h, w, I, O]."""
    if len(strides) == 2:
        return _in_plane(x, kernel, strides, pads)
    kernel, pads = _without_idle_taps(x.shape[1], kernel, strides[0], pads)
    folded = taps_in_outputs if strides[0] == 1 else taps_in_inputs
    return folded(x, kernel, strides, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_in_loop(x: jax.Array, kernel: jax.Array, pads: Padding) -> jax.Array:
    """Returns the cross-correlation with stride 1 of x [B, H, W, I] with a kernel [h, w, I, O], in the body of a loop.

    Inside a loop the compiler has no fast gradient by the kernel; here it is a matrix product per kernel position.
    """
    return _direct(x, kernel, (1, 1), pads)


def _direct(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    numbers = _DIMENSION_NUMBERS[len(strides)]
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=numbers)


def _in_plane(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    """Returns a 2D convolution by the formulation that is fastest at its size."""
    rows, columns = (
        (size + sum(pad) - taps) // step + 1
        for size, pad, taps, step in zip(x.shape[1:3], pads, kernel.shape, strides, strict=False)
    )
    if rows * columns <= _SMALL_MAP or x.dtype == jnp.float64:
        return _product_of_patches(x, kernel, strides, pads, (rows, columns))
    possible = kernel.shape[0] == 3 and set(strides) == {1} and rows % 4 == 0 and x.dtype != jnp.bfloat16
    images = 1 if jax.export.is_symbolic_dim(x.shape[0]) else x.shape[0]
    large = min(kernel.shape[2:]) >= _WINOGRAD_CHANNELS and images * rows * columns >= _WINOGRAD_POSITIONS
    if possible and large:
        return winograd(x, kernel, pads)
    return _direct(x, kernel, strides, pads)


def _product_of_patches(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding, size: tuple[int, int]
) -> jax.Array:
    """Returns a 2D convolution as one matrix product.

    On maps of 2x2, XLA's convolution takes seventy times as long; in double precision it is a plain loop.
    """
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    spans = [step * (count - 1) + 1 for count, step in zip(size, strides, strict=True)]
    patches = jnp.concatenate(
        [
            padded[:, row : row + spans[0] : strides[0], column : column + spans[1] : strides[1]]
            for row in range(kernel.shape[0])
            for column in range(kernel.shape[1])
        ],
        axis=-1,
    )
    return patches @ kernel.reshape(-1, kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def winograd(x: jax.Array, kernel: jax.Array, pads: Padding) -> jax.Array:
    """Returns a cross-correlation with stride 1 and three kernel rows: four output rows from six products, not twelve.

    F(4, 3) of Winograd (1980) along the height only; see Lavin and Gray (2016). In float32, its rounding error is 2.3
    times that of the direct sum. The gradient by the kernel is the direct one, which is as fast.

    Args:
      x: [B, H, W, I].
      kernel: [3, w, I, O].
      pads: before and after, per axis; the number of output rows is a multiple of 4.
    """
    batch, features = x.shape[0], kernel.shape[-1]
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    rows = padded.shape[1] - 2
    d0, d1, d2, d3, d4, d5 = (padded[:, row : row + rows - 3 : 4] for row in range(6))
    k0, k1, k2 = kernel[:1], kernel[1:2], kernel[2:]
    a, b = _WINOGRAD_POINTS
    a2, b2 = a * a, b * b
    even_a, odd_a, even_b, odd_b = d4 - b2 * d2, a * (d3 - b2 * d1), d4 - a2 * d2, b * (d3 - a2 * d1)
    inputs = (
        a2 * b2 * d0 - (a2 + b2) * d2 + d4,
        *(even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b),
        a2 * b2 * d1 - (a2 + b2) * d3 + d5,
    )
    scale_a, scale_b = 2 * a2 * (a2 - b2), 2 * b2 * (b2 - a2)
    outer_a, inner_a, outer_b, inner_b = k0 + a2 * k2, a * k1, k0 + b2 * k2, b * k1
    kernels = (
        k0 / (a2 * b2),
        *((outer_a + inner_a) / scale_a, (outer_a - inner_a) / scale_a),
        *((outer_b + inner_b) / scale_b, (outer_b - inner_b) / scale_b),
        k2,
    )
    none = ((0, 0), (0, 0))
    m0, m1, m2, m3, m4, m5 = (_direct(v, u, (1, 1), none) for v, u in zip(inputs, kernels, strict=True))
    sum_a, sum_b, change_a, change_b = m1 + m2, m3 + m4, a * (m1 - m2), b * (m3 - m4)
    y = (m0 + sum_a + sum_b, change_a + change_b, a2 * sum_a + b2 * sum_b, a2 * change_a + b2 * change_b + m5)
    return jnp.stack(y, axis=2).reshape(batch, rows, -1, features)


def _winograd_forward(x: jax.Array, kernel: jax.Array, pads: Padding) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return winograd(x, kernel, pads), (x, kernel)


def _winograd_backward(
    pads: Padding, residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    mirrored, back = _mirrored(kernel, pads)
    return _in_plane(dy, mirrored, (1, 1), back), _direct_kernel_gradient(x, kernel, pads, dy)


winograd.defvjp(_winograd_forward, _winograd_backward)


def _mirrored(kernel: jax.Array, pads: Padding) -> tuple[jax.Array, Padding]:
    """Returns the kernel and padding whose convolution is the input gradient of one with stride 1."""
    sizes = kernel.shape[:-2]
    back = tuple((n - 1 - before, n - 1 - after) for n, (before, after) in zip(sizes, pads, strict=True))
    return jnp.flip(kernel, tuple(range(len(sizes)))).swapaxes(-1, -2), back


def _direct_kernel_gradient(x: jax.Array, kernel: jax.Array, pads: Padding, dy: jax.Array) -> jax.Array:
    """Returns the gradient by the kernel of `_direct` with stride 1."""
    return jax.vjp(lambda kernel: _direct(x, kernel, (1, 1), pads), kernel)[1](dy)[0]


def _without_idle_taps(frames: int, kernel: jax.Array, stride: int, pads: Padding) -> tuple[jax.Array, Padding]:
    """Drops the time taps that only ever see padding: two of three if there is a single frame."""
    before, after = pads[0]
    taps = kernel.shape[0]
    starts = range(-before, frames + after - taps + 1, stride)
    busy = [tap for tap in range(taps) if any(0 <= start + tap < frames for start in starts)]
    if len(busy) == taps:
        return kernel, pads
    first, last = busy[0], busy[-1]
    return kernel[first : last + 1], ((before - first, after - (taps - 1 - last)), *pads[1:])


def _fold_frames(x: jax.Array) -> jax.Array:
    return x.reshape(-1, *x.shape[2:])


def taps_in_inputs(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    """Returns a 3D convolution as a 2D one whose input channels are those of all frames under the time taps."""
    taps, height, width, channels, features = kernel.shape
    step, frames = strides[0], (x.shape[1] + sum(pads[0]) - kernel.shape[0]) // strides[0] + 1
    padded = jnp.pad(x, [(0, 0), pads[0], (0, 0), (0, 0), (0, 0)])
    span = step * (frames - 1) + 1
    windows = jnp.concatenate([padded[:, tap : tap + span : step] for tap in range(taps)], axis=-1)
    flat = kernel.transpose(1, 2, 0, 3, 4).reshape(height, width, taps * channels, features)
    y = _in_plane(_fold_frames(windows), flat, strides[1:], pads[1:])
    return y.reshape(x.shape[0], frames, *y.shape[1:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def taps_in_outputs(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    """Returns a 3D convolution with time stride 1: a 2D convolution per frame and time tap, then their shifted sum.

    If the spatial strides are 1 too, its input gradient is again such a convolution.
    """
    return _shifted_sum_of_taps(x, kernel, strides, pads)


def _shifted_sum_of_taps(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    taps, height, width, channels, features = kernel.shape
    flat = kernel.transpose(1, 2, 3, 0, 4).reshape(height, width, channels, taps * features)
    y = _in_plane(_fold_frames(x), flat, strides[1:], pads[1:])
    y = y.reshape(*x.shape[:2], *y.shape[1:])
    padded = jnp.pad(y, [(0, 0), pads[0], (0, 0), (0, 0), (0, 0)])
    frames = padded.shape[1] - taps + 1
    parts = (padded[:, tap : tap + frames, ..., tap * features : (tap + 1) * features] for tap in range(taps))
    return functools.reduce(jnp.add, parts)


def _taps_in_outputs_forward(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return taps_in_outputs(x, kernel, strides, pads), (x, kernel)


def _taps_in_outputs_backward(
    strides: tuple[int, ...], pads: Padding, residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    convolution = functools.partial(_shifted_sum_of_taps, strides=strides, pads=pads)
    (dkernel,) = jax.vjp(lambda kernel: convolution(x, kernel), kernel)[1](dy)
    if set(strides) == {1}:
        mirrored, back = _mirrored(kernel, pads)
        dx = taps_in_outputs(dy, mirrored, strides, back)
    else:
        (dx,) = jax.vjp(lambda x: convolution(x, kernel), x)[1](dy)
    return dx, dkernel


taps_in_outputs.defvjp(_taps_in_outputs_forward, _taps_in_outputs_backward)


def _in_loop_forward(x: jax.Array, kernel: jax.Array, pads: Padding) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return convolve_in_loop(x, kernel, pads), (x, kernel)


def _in_loop_backward(
    pads: Padding, residuals: tuple[jax.Array, jax.Array], dy: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    mirrored, back = _mirrored(kernel, pads)
    dx = convolve_in_loop(dy, mirrored, back)

    height, width = dy.shape[1:3]
    padded = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    products = [
        jnp.einsum("bhwi,bhwo->io", padded[:, row : row + height, column : column + width], dy)
        for row in range(kernel.shape[0])
        for column in range(kernel.shape[1])
    ]
    return dx, jnp.stack(products).reshape(kernel.shape)


convolve_in_loop.defvjp(_in_loop_forward, _in_loop_backward)
