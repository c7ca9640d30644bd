"""The video decoder p(X|x0, z) (cINN paper, section 3 and appendix).

Nearest up-sampling commutes with pixelwise operations, so a block receives the map at the previous block's resolution
and computes its statistics, its shortcut and its temporal part there.
"""

import functools
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.layers import (
    Conv,
    Linear,
    SpectralNorm,
    at_least_float32,
    block_of,
    broadcast_like,
    leaky_relu,
)
from i2v_jax.models.norms import normalize_groups, normalize_instances
from i2v_jax.models.resampling import repeat, resize_bilinear

SPADE_WIDTH = 128


class Affine(nn.Module):
    """A learned scale and bias per channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return x * broadcast_like(scale, x) + broadcast_like(bias, x)


class SpadeModulation(nn.Module):
    """The scale and bias maps computed from the start frame (Park et al. 2019).

    start_frame [B, H, W, 3] -> (1 + gamma, beta), each [B, 1, height, width, features]: they do not depend on time.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, start_frame: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
        frame = resize_bilinear(start_frame, height, width)
        hidden = leaky_relu(Conv(SPADE_WIDTH, (3, 3), padding=1, dtype=self.dtype, name="hidden")(frame))
        maps = Conv(2 * self.features, (3, 3), padding=1, dtype=self.dtype, name="gamma_beta")(hidden)
        gamma, beta = jnp.split(maps[:, None], 2, axis=-1)
        return 1 + gamma, beta


@jax.custom_vjp
def _modulate(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Returns scale * x + bias for x [B, T, H, W, C], scale and bias [B, 1, H, W, C].

    Its gradients are summed frame by frame, in float32: on a CPU, XLA is slow at reducing a middle axis.
    """
    return scale * x + bias


def _modulate_forward(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _modulate(x, scale, bias), (x, scale)


def _modulate_backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, scale = residuals

    def over_time(frames: Iterable[jax.Array]) -> jax.Array:
        return functools.reduce(jnp.add, map(at_least_float32, frames)).astype(scale.dtype)

    frames = [slice(t, t + 1) for t in range(x.shape[1])]
    return dy * scale, over_time(dy[:, t] * x[:, t] for t in frames), over_time(dy[:, t] for t in frames)


_modulate.defvjp(_modulate_forward, _modulate_backward)


def _ones_and_zeros(rng: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    return jnp.concatenate([jnp.ones(shape[0] // 2, dtype), jnp.zeros(shape[0] - shape[0] // 2, dtype)])


class AdaptiveInstanceNorm(nn.Module):
    """gamma(z) * instance_norm(x) + beta(z), statistics over time and space (Huang and Belongie 2017).

    gamma starts around 1. Around 0 the block would start as its shortcut, with small gradients.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, z: jax.Array) -> jax.Array:
        both = Linear(2 * x.shape[-1], bias_init=_ones_and_zeros, dtype=self.dtype, name="gamma_beta")(z)
        return normalize_instances(x, *jnp.split(both, 2, axis=-1))


class VideoBlock(nn.Module):
    """shortcut(x) + conv1(lrelu(adain(conv0(lrelu(spade(x, x0))), z))) on x up-sampled by `upsample`.

    [B, T, H, W, C] -> [B, T*u_t, H*u_s, W*u_s, features] for `upsample` = (u_t, u_s).
    """

    features: int
    upsample: tuple[int, int] = (1, 1)
    spectral_norm: SpectralNorm = "power_iteration"
    use_start_frame: bool = True
    use_adain: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, z: jax.Array, start_frame: jax.Array, train: bool) -> jax.Array:
        def conv(y: jax.Array, name: str, features: int, size: int = 3, repeat_frames: int = 1) -> jax.Array:
            return Conv(
                features,
                (size,) * 3,
                padding=size // 2,
                use_bias=size > 1,
                repeat_frames=repeat_frames,
                spectral_norm=self.spectral_norm,
                dtype=self.dtype,
                name=name,
            )(y, train)

        up_t, up_s = self.upsample
        in_space = (1, up_s, up_s)
        normed = normalize_groups(x)  # the same statistics serve SPADE and the shortcut
        y = repeat(normed, in_space)
        if self.use_start_frame:
            scale, bias = SpadeModulation(x.shape[-1], self.dtype, name="spade")(start_frame, *y.shape[2:4])
            y = _modulate(y, scale, bias)
        else:
            y = Affine(name="norm")(y)
        y = conv(leaky_relu(y), "conv0", min(x.shape[-1], self.features), repeat_frames=up_t)
        if self.use_adain:
            y = AdaptiveInstanceNorm(self.dtype, name="adain")(y, z)
        y = conv(leaky_relu(y), "conv1", self.features)
        if x.shape[-1] != self.features:
            x = conv(Affine(name="shortcut_norm")(normed), "shortcut", self.features, size=1)
        return repeat(x, (up_t, up_s, up_s)) + y


class VideoDecoder(nn.Module):
    """(start_frame [B, H, W, 3] in [-1, 1], z [B, z_dim]) -> video [B, 16, H, W, 3] in [-1, 1], float32.

    `upsample_t` and `upsample_s` are the factors after the fourth and fifth block; the three before are 2.
    The paper's ablations: `use_start_frame=False` replaces SPADE by a group norm with learned scale and bias,
    `use_adain=False` passes z only to the first linear map. `remat`: see `layers.block_of`.
    """

    z_dim: int
    channel_factor: int
    upsample_t: tuple[int, int]
    upsample_s: tuple[int, int]
    spectral_norm: bool = True
    use_start_frame: bool = True
    use_adain: bool = True
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, start_frame: jax.Array, z: jax.Array, train: bool = False) -> jax.Array:
        width = self.channel_factor
        x = Linear(4 * 4 * 16 * width, dtype=self.dtype, name="fc")(z).reshape(-1, 1, 4, 4, 16 * width)
        start_frame = start_frame.astype(self.dtype)
        upsample = ((1, 1), (2, 2), (2, 2), (2, 2), *zip(self.upsample_t, self.upsample_s, strict=True))
        for index, (multiple, factors) in enumerate(zip((16, 16, 8, 4, 2, 1), upsample, strict=True)):
            x = block_of(VideoBlock, self.remat, train_argument=4)(
                multiple * width,
                factors,
                "power_iteration" if self.spectral_norm else "none",
                self.use_start_frame,
                self.use_adain,
                self.dtype,
                name=f"block{index}",
            )(x, z, start_frame, train)
        rgb = Conv(3, (3, 3, 3), padding=1, dtype=self.dtype, name="to_rgb")(leaky_relu(x))
        return jnp.tanh(at_least_float32(rgb))
