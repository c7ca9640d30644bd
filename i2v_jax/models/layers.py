"""Layers that all networks share: convolutions and linear maps with spectral normalization.

All tensors are channel-last. Kernels are stored in float32; `dtype` is the type of the computation.
"""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from i2v_jax.models.convolution import convolve, convolve_repeated_frames, convolve_transposed, transposed_windows
from i2v_jax.models.initializers import Initializer, normal, uniform_bias, uniform_fan_in

SpectralNorm = Literal["none", "power_iteration", "stored"]


def at_least_float32(x: jax.Array) -> jax.Array:
    """Casts bfloat16 to float32, for statistics, losses and outputs; float32 and float64 are unchanged."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def broadcast_like(parameter: jax.Array, x: jax.Array) -> jax.Array:
    """Returns a parameter in the shape and the type of x. Its gradient, a sum over positions, is taken in float32.

    The broadcast comes before the cast: the other way around the sum is in bfloat16, where it stops growing after some
    hundred terms.
    """
    return jnp.broadcast_to(at_least_float32(parameter), x.shape).astype(x.dtype)


def gathered(kernel: jax.Array) -> jax.Array:
    """Returns a kernel whole on each device of the mesh that a step is traced on, if any.

    So each device computes on its own clips. Left to itself, the compiler splits the features of some layers instead,
    and sends the activations of all clips to every device. Gather what the layer multiplies with: for a TPU, the
    compiler gathers after a cast to bfloat16, which is half as large (for a GPU, it gathers before the cast).
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return kernel
    return jax.lax.with_sharding_constraint(kernel, PartitionSpec())


def leaky_relu(x: jax.Array, slope: float = 0.2) -> jax.Array:
    """Returns x where it is positive and slope * x elsewhere; the gradient at 0 is slope."""
    return jnp.where(x > 0, x, slope * x)


def _unit(x: jax.Array, eps: float) -> jax.Array:
    return x / jnp.maximum(jnp.linalg.norm(x), eps)


def _normal_unit(rng: jax.Array, size: int) -> jax.Array:
    return _unit(normal(rng, (size,)), 1e-12)


def block_of(module: type[nn.Module], remat: bool, train_argument: int | None = None) -> Any:
    """Returns the class of a block; with `remat`, its backward pass computes again what it would keep otherwise.

    `train_argument` is the position of `train` among the arguments of `__call__`, after `self`.
    """
    static = () if train_argument is None else (train_argument,)
    return nn.remat(module, static_argnums=static) if remat else module


class _Normalized(nn.Module):
    """Base class of layers whose kernel may be divided by an estimate of its largest singular value.

    `spectral_norm`: "power_iteration" keeps u and v in the collection `spectral`, advances them once per call with
    `train=True` (Miyato et al. 2018, as in PyTorch) and uses them unchanged otherwise; "stored" performs one iteration
    from the stored u at every call and never changes u (the BigGAN decoder of the image autoencoder).
    """

    def _divide_by_sigma(self, kernel: jax.Array, mode: SpectralNorm, train: bool) -> jax.Array:
        if mode == "none":
            return kernel
        kernel = gathered(kernel)  # once, for the estimate and for the layer
        matrix = kernel.reshape(-1, kernel.shape[-1])  # [inputs, outputs]
        fixed = jax.lax.stop_gradient(matrix)
        u = self.variable("spectral", "u", lambda: _normal_unit(self.make_rng("params"), matrix.shape[1]))
        if mode == "stored":
            eps = 1e-4
            v_new = fixed @ u.value
            v_new = v_new / (jnp.linalg.norm(v_new) + eps)
            u_new = v_new @ fixed
            u_new = u_new / (jnp.linalg.norm(u_new) + eps)
            return kernel / (v_new @ matrix @ u_new)
        v = self.variable("spectral", "v", lambda: _unit(fixed @ u.value, 1e-12))
        if train and not self.is_initializing():
            v.value = _unit(fixed @ u.value, 1e-12)
            u.value = _unit(v.value @ fixed, 1e-12)
        return kernel / (v.value @ matrix @ u.value)


class Conv(_Normalized):
    """2D or 3D convolution with zero padding; the rank follows from `kernel_size`.

    [B, H, W, C] -> [B, H', W', features], or [B, T, H, W, C] -> [B, T', H', W', features]. With `repeat_frames` (3D,
    stride 1), the result is that of an input with every frame repeated that many times.
    """

    features: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] | int = 1
    padding: tuple[int, ...] | int = 0
    use_bias: bool = True
    spectral_norm: SpectralNorm = "none"
    kernel_init: Initializer = uniform_fan_in
    bias_init: Initializer | None = None  # None: uniform in +-1/sqrt(fan_in)
    repeat_frames: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        rank = len(self.kernel_size)
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        kernel = self._divide_by_sigma(kernel, self.spectral_norm, train)
        strides = (self.strides,) * rank if isinstance(self.strides, int) else self.strides
        padding = (self.padding,) * rank if isinstance(self.padding, int) else self.padding
        x, kernel = x.astype(self.dtype), gathered(kernel.astype(self.dtype))
        if self.repeat_frames > 1:
            y = convolve_repeated_frames(x, kernel, self.repeat_frames, padding)
        else:
            y = convolve(x, kernel, strides, padding)
        if self.use_bias:
            init = self.bias_init or uniform_bias(math.prod(shape[:-1]))
            y = y + broadcast_like(self.param("bias", init, (self.features,), jnp.float32), y)
        return y


class ConvTranspose(nn.Module):
    """Transposed 3x3 convolution that doubles the resolution, [B, H, W, C] -> [B, 2 H, 2 W, features]."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", uniform_fan_in, shape, jnp.float32)
        bias = self.param("bias", uniform_bias(math.prod(shape[:-1])), (self.features,), jnp.float32)
        windows = transposed_windows(gathered(kernel.astype(self.dtype)))
        y = convolve_transposed(x.astype(self.dtype), windows)
        return y + broadcast_like(bias, y)


class Linear(_Normalized):
    """[..., C] -> [..., features]."""

    features: int
    use_bias: bool = True
    spectral_norm: SpectralNorm = "none"
    kernel_init: Initializer = uniform_fan_in
    bias_init: Initializer | None = None  # None: uniform in +-1/sqrt(fan_in)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        kernel = self._divide_by_sigma(kernel, self.spectral_norm, train)
        y = x.astype(self.dtype) @ gathered(kernel.astype(self.dtype))
        if self.use_bias:
            init = self.bias_init or uniform_bias(x.shape[-1])
            y = y + broadcast_like(self.param("bias", init, (self.features,), jnp.float32), y)
        return y
