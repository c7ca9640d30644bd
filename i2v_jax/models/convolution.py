"""The one place that decides how a convolution is computed on which platform."""

import functools

import jax
import jax.numpy as jnp

_DIMENSION_NUMBERS = {2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def convolve(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], padding: tuple[int, ...]) -> jax.Array:
    """Cross-correlation with zero padding.

    Args:
      x: [B, H, W, I] or [B, T, H, W, I].
      kernel: [h, w, I, O] or [t, h, w, I, O].
      strides, padding: one number per spatial axis; `padding` on both sides.
    """
    if len(strides) == 2:
        return _direct(x, kernel, strides=strides, padding=padding)
    folded = functools.partial(_sum_over_time_taps, strides=strides, padding=padding)
    direct = functools.partial(_direct, strides=strides, padding=padding)
    return jax.lax.platform_dependent(x, kernel, cpu=folded, default=direct)


def convolve_repeated_frames(x: jax.Array, kernel: jax.Array, factor: int, padding: tuple[int, ...]) -> jax.Array:
    """`convolve` with stride 1 on x with every frame repeated `factor` times, with fewer operations.

    Of the three time taps two always fall on copies of one frame, so for factor 2 the even and the odd output frames
    are convolutions with two taps each: sums of neighbouring taps. One convolution makes both; its first output frame
    is of use to the even ones only and its last to the odd ones.
    """
    ones = (1,) * (x.ndim - 2)
    if factor != 2 or kernel.shape[0] != 3 or padding[0] != 1:
        return convolve(jnp.repeat(x, factor, axis=1), kernel, ones, padding)
    first, second, third = kernel
    both = jnp.stack([jnp.concatenate([first, first + second], -1), jnp.concatenate([second + third, third], -1)])
    even, odd = jnp.split(convolve(x, both, ones, padding), 2, axis=-1)
    y = jnp.stack([even[:, :-1], odd[:, 1:]], axis=2)
    return y.reshape(x.shape[0], 2 * x.shape[1], *y.shape[3:])


def _direct(x: jax.Array, kernel: jax.Array, *, strides: tuple[int, ...], padding: tuple[int, ...]) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, strides, [(p, p) for p in padding], dimension_numbers=_DIMENSION_NUMBERS[len(strides)]
    )


def _sum_over_time_taps(
    x: jax.Array, kernel: jax.Array, *, strides: tuple[int, ...], padding: tuple[int, ...]
) -> jax.Array:
    """A 3D convolution as a sum of 2D convolutions, frames folded into the batch: XLA's 3D path is slow on the CPU."""
    batch, frames = x.shape[:2]
    taps, step, pad = kernel.shape[0], strides[0], padding[0]
    frames_out = (frames + 2 * pad - taps) // step + 1
    x = jnp.pad(x, [(0, 0), (pad, pad), (0, 0), (0, 0), (0, 0)]) if pad else x
    total = None
    for tap in range(taps):
        window = x[:, tap : tap + step * (frames_out - 1) + 1 : step]
        flat = window.reshape(batch * frames_out, *window.shape[2:])
        y = _direct(flat, kernel[tap], strides=strides[1:], padding=padding[1:])
        total = y if total is None else total + y
    assert total is not None  # a kernel has at least one tap
    return total.reshape(batch, frames_out, *total.shape[1:])
