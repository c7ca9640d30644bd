"""Convolutions of channel-last arrays.

XLA computes them on accelerators. On a CPU, where XLA's own are slow, `models/cpu_convolution.py` does.
"""

import functools
import math
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError
from i2v_jax.models import cpu_convolution
from i2v_jax.models.cpu_convolution import Padding

_DIMENSION_NUMBERS = {2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}

# What programs are traced with:
#   "auto": the formulation for the default backend.
#   "xla": XLA's own convolution, also on a CPU.
#   "portable": the formulations for all platforms; the program picks one when it runs (`jax.export`).
FORMULATIONS = ("auto", "xla", "portable")
_VARIABLE = "I2V_JAX_CONV"
formulation = jax.make_user_context(os.environ.get(_VARIABLE, "auto"))
if formulation.value not in FORMULATIONS:
    allowed = ", ".join(FORMULATIONS)
    raise UserError(f"invalid value for {_VARIABLE}: {formulation.value!r} (must be one of {allowed})")


def _by_platform(
    x: jax.Array,
    kernel: jax.Array,
    cpu: Callable[[jax.Array, jax.Array], jax.Array],
    default: Callable[[jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    if formulation.value == "portable":
        return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=default)
    on_cpu = formulation.value == "auto" and jax.default_backend() == "cpu"
    return (cpu if on_cpu else default)(x, kernel)


def _plain(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_DIMENSION_NUMBERS[len(strides)])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _xla(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], pads: Padding) -> jax.Array:
    """Returns XLA's convolution.

    It and its two gradients are linear in both arguments, and the gradients of each of the three are the other two.
    They are written like that for a gradient penalty, which differentiates twice: of the gradient of a gradient, JAX
    makes a convolution that XLA does not recognize as one of the three, with a window as large as a frame. Only
    reverse mode is defined: `jax.jvp` and `jax.jacfwd` raise a TypeError.
    """
    return _plain(x, kernel, strides, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _by_input(
    gradient: jax.Array, kernel: jax.Array, shape: tuple[int, ...], strides: tuple[int, ...], pads: Padding
) -> jax.Array:
    """Returns the gradient of `_xla` by an input of a shape."""
    x = jax.ShapeDtypeStruct(shape, gradient.dtype)
    return jax.linear_transpose(lambda x: _plain(x, kernel, strides, pads), x)(gradient)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _by_kernel(
    x: jax.Array, gradient: jax.Array, shape: tuple[int, ...], strides: tuple[int, ...], pads: Padding
) -> jax.Array:
    """Returns the gradient of `_xla` by a kernel of a shape."""
    kernel = jax.ShapeDtypeStruct(shape, gradient.dtype)

    def transpose(x: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.linear_transpose(lambda kernel: _plain(x, kernel, strides, pads), kernel)(gradient)[0]

    if set(strides) != {1}:
        return transpose(x, gradient)
    lengthened = functools.partial(_longer_than_kernel, shape=shape)
    return jax.lax.platform_dependent(x, gradient, cuda=lambda *args: transpose(*lengthened(*args)), default=transpose)


def _longer_than_kernel(x: jax.Array, gradient: jax.Array, shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Returns x and the gradient, with zeros at their ends where the gradient is not longer than the kernel.

    XLA for GPUs recognizes the gradient of a kernel only if it is longer on every axis. In clips of a few frames, XLA
    would compute a convolution with a window as large as a frame instead, for which cuDNN has only slow kernels.
    """
    sizes = zip(shape[:-2], gradient.shape[1:-1], strict=True)
    missing = [max(0, kernel + 1 - size) for kernel, size in sizes]
    if not any(missing):
        return x, gradient
    zeros = [(0, 0), *((0, count) for count in missing), (0, 0)]
    return jnp.pad(x, zeros), jnp.pad(gradient, zeros)


_xla.defvjp(
    lambda x, kernel, *how: (_xla(x, kernel, *how), (x, kernel)),
    lambda strides, pads, saved, gradient: (
        _by_input(gradient, saved[1], saved[0].shape, strides, pads),
        _by_kernel(saved[0], gradient, saved[1].shape, strides, pads),
    ),
)
_by_input.defvjp(
    lambda gradient, kernel, *how: (_by_input(gradient, kernel, *how), (gradient, kernel)),
    lambda shape, strides, pads, saved, x: (
        _xla(x, saved[1], strides, pads),
        _by_kernel(x, saved[0], saved[1].shape, strides, pads),
    ),
)
_by_kernel.defvjp(
    lambda x, gradient, *how: (_by_kernel(x, gradient, *how), (x, gradient)),
    lambda shape, strides, pads, saved, kernel: (
        _by_input(saved[1], kernel, saved[0].shape, strides, pads),
        _xla(saved[0], kernel, strides, pads),
    ),
)


def convolve(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], padding: tuple[int, ...]) -> jax.Array:
    """Returns the cross-correlation with zero padding.

    Args:
      x: [B, H, W, I] or [B, T, H, W, I].
      kernel: [h, w, I, O] or [t, h, w, I, O].
      strides, padding: one number per spatial axis; `padding` applies to both sides.
    """
    return (_convolve if formulation.value == "portable" else _convolve_once)(x, kernel, strides, padding)


def _convolve(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], padding: tuple[int, ...]) -> jax.Array:
    if _is_matmul(x, kernel, strides, padding):
        return _matmul(x, kernel)
    pads = tuple((p, p) for p in padding)
    return _by_platform(
        x,
        kernel,
        cpu=lambda x, kernel: cpu_convolution.convolve(x, kernel, strides, pads),
        default=lambda x, kernel: _xla(x, kernel, strides, pads),
    )


_convolve_once = jax.jit(_convolve, static_argnums=(2, 3))  # traced and differentiated per shape, not per layer


def convolve_in_loop(x: jax.Array, kernel: jax.Array, pads: Padding) -> jax.Array:
    """Returns the cross-correlation of x [B, H, W, I] with a kernel [h, w, I, O], stride 1, in the body of a loop."""
    return _by_platform(
        x,
        kernel,
        cpu=lambda x, kernel: cpu_convolution.convolve_in_loop(x, kernel, pads),
        default=lambda x, kernel: _xla(x, kernel, (1, 1), pads),
    )


def convolve_repeated_frames(x: jax.Array, kernel: jax.Array, factor: int, padding: tuple[int, ...]) -> jax.Array:
    """Returns `convolve` with stride 1 of x with every frame repeated `factor` times, with fewer operations.

    Two of three time taps always fall on copies of one frame. So for factor 2, even and odd output frames are
    convolutions with two taps each, which are sums of neighboring taps. One convolution computes both: its first output
    frame serves only the even ones, its last only the odd ones.
    """
    ones = (1,) * (x.ndim - 2)
    if factor != 2 or kernel.shape[0] != 3 or padding[0] != 1:
        return convolve(jnp.repeat(x, factor, axis=1), kernel, ones, padding)
    first, second, third = kernel
    both = jnp.stack([jnp.concatenate([first, first + second], -1), jnp.concatenate([second + third, third], -1)])
    even, odd = jnp.split(convolve(x, both, ones, padding), 2, axis=-1)
    y = jnp.stack([even[:, :-1], odd[:, 1:]], axis=2)
    return y.reshape(x.shape[0], 2 * x.shape[1], *y.shape[3:])


def transposed_windows(kernel: jax.Array) -> jax.Array:
    """Returns what each input position of `convolve_transposed` adds to its four output positions.

    [3, 3, I, O] -> [2, 2, I, 4 O]. An even output position sees only the middle tap, an odd one the outer taps on two
    neighbors. Call this before a loop, not in it: then the gradient is summed over devices once, not in every step.
    """
    channels, features = kernel.shape[2:]
    nothing = jnp.zeros_like(kernel[:, 0])
    columns = jnp.stack([jnp.stack([kernel[:, 1], nothing], 1), jnp.stack([kernel[:, 2], kernel[:, 0]], 1)], -2)
    rows = jnp.stack([jnp.stack([columns[1], jnp.zeros_like(columns[1])]), jnp.stack([columns[2], columns[0]])], -3)
    return rows.reshape(2, 2, channels, 4 * features)  # [2, 2, I, row, column, O]


def convolve_transposed(x: jax.Array, windows: jax.Array) -> jax.Array:
    """Returns the transpose of a 3x3 convolution with stride 2 and padding 1 of an input of even size.

    [B, H, W, I] -> [B, 2 H, 2 W, O], as PyTorch's ConvTranspose2d with output_padding=1, with the `transposed_windows`
    of a kernel. One convolution computes the four output positions of each input position, as groups of channels.
    """
    y = convolve_in_loop(x, windows, ((0, 1), (0, 1)))
    batch, height, width = x.shape[:3]
    y = y.reshape(batch, height, width, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(batch, 2 * height, 2 * width, -1)


def _is_matmul(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], padding: tuple[int, ...]) -> bool:
    """Returns whether the kernel has one position, or covers the whole input at once."""
    size = kernel.shape[:-2]
    pointwise = math.prod(size) == 1 and set(strides) == {1}
    return not any(padding) and (pointwise or size == x.shape[1:-1])


def _matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    positions = x.shape[:-1] if math.prod(kernel.shape[:-2]) == 1 else (x.shape[0], *(1,) * (x.ndim - 2))
    features = kernel.shape[-1]
    flat = kernel.reshape(-1, features)
    return (x.reshape(-1, flat.shape[0]) @ flat).reshape(*positions, features)
