"""The networks of the poke model: encoders, dynamics, decoder (poke paper, section 3.1 and appendix E.1)."""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError
from i2v_jax.models.convgru import Dynamics, PokeOverTime
from i2v_jax.models.layers import Conv, ConvTranspose, at_least_float32, block_of
from i2v_jax.models.norms import normalize_groups, normalize_instances
from i2v_jax.models.resampling import warp

Norm = Literal["instance", "layer", "none"]
Remat = Literal["none", "decoder", "all"]
States = tuple[jax.Array, ...]  # object states [..., h, w, C], the deepest first


def _normalize(x: jax.Array, norm: Norm) -> jax.Array:
    match norm:
        case "instance":
            return normalize_instances(x)
        case "layer":
            return normalize_groups(x, groups=1)
    return x


class ConvBlock(nn.Module):
    """3x3 convolution, instance norm without affine map, ELU. [B, H, W, C] -> [B, H / stride, W / stride, features]."""

    features: int
    stride: int = 1
    norm: Norm = "instance"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Conv(self.features, (3, 3), self.stride, padding=1, dtype=self.dtype, name="conv")(x)
        return nn.elu(_normalize(x, self.norm))


class ResidualBlock(nn.Module):
    """A convolution block, a second one without activation, and a shortcut: [B, H, W, C] -> [B, H', W', features].

    The shortcut is the identity, or one more block where the width changes or `upsample` doubles the size. It reads
    the same input as the first block and its norm is per channel too, so one convolution makes both: of its 2 *
    `features` channels the later half is the shortcut. With `upsample` it is a transposed one, and ReLU replaces ELU.
    """

    features: int
    upsample: bool = False
    norm: Norm = "instance"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        widened = self.upsample or x.shape[-1] != self.features
        width = (2 if widened else 1) * self.features
        if self.upsample:
            y = ConvTranspose(width, dtype=self.dtype, name="first")(x)
            y = nn.relu(_normalize(y, self.norm))
        else:
            y = Conv(width, (3, 3), padding=1, dtype=self.dtype, name="first")(x)
            y = nn.elu(_normalize(y, self.norm))
        if widened:
            y, x = jnp.split(y, 2, axis=-1)
        y = Conv(self.features, (3, 3), padding=1, dtype=self.dtype, name="second")(y)
        return x + _normalize(y, self.norm)


class ObjectEncoder(nn.Module):
    """E_sigma: images [B, H, W, 3] in [-1, 1] -> object states, the deepest first.

    State 0 has `features` channels and the resolution of state 1; the resolutions double from there on, and the widths
    are `widths` backwards. Of the `len(widths) + 1` states the `levels` deepest are returned (0: all), through tanh if
    `bounded`.
    """

    widths: tuple[int, ...]
    features: int
    levels: int = 0
    norm: Norm = "instance"
    bounded: bool = False
    remat: bool = False  # see `layers.block_of`
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> States:
        x, states = images, []
        for index, width in enumerate(self.widths):
            block = block_of(ConvBlock, self.remat)
            x = block(width, stride=2, norm=self.norm, dtype=self.dtype, name=f"block{index}")(x)
            states.append(x)
        bottleneck = block_of(ResidualBlock, self.remat)
        states.append(bottleneck(self.features, norm=self.norm, dtype=self.dtype, name="bottleneck")(x))
        states = states[::-1][: self.levels or None]
        return tuple(jnp.tanh(state) if self.bounded else state for state in states)


class PokeEncoder(nn.Module):
    """E_phi: poke maps [B, H, W, 2] in pixels -> latent pokes [B, h, w, features] at the deepest resolution.

    Instance norm (the release) divides by the poke's own length, so the latent poke holds position and direction but
    not distance. With `norm="none"` it holds the distance too, and a poke of length zero has its own latent.
    """

    widths: tuple[int, ...]
    features: int
    norm: Norm = "instance"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, poke: jax.Array) -> jax.Array:
        x = poke
        for index, width in enumerate(self.widths):
            x = ConvBlock(width, stride=2, norm=self.norm, dtype=self.dtype, name=f"block{index}")(x)
        for index in range(2):
            x = ResidualBlock(self.features, norm=self.norm, dtype=self.dtype, name=f"bottleneck{index}")(x)
        return x


class FrameDecoder(nn.Module):
    """G: object states, the deepest first -> images [B, H, W, 3] in [-1, 1], float32.

    A residual block on state 0, then one per width that doubles the size, each on what came before and the next state
    if there is one. `widths` are those of the object encoder. `remat`: see `layers.block_of`.

    With `copies` the images are a mixture, for each pixel, of what was painted from the states and of what the start
    frames [B, H, W, 3] show elsewhere (Hao et al. 2018, section 3.3). Without start frames all is painted.
    """

    widths: tuple[int, ...]
    norm: Norm = "instance"
    copies: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, states: States, start_frames: jax.Array | None = None) -> jax.Array:
        block = block_of(ResidualBlock, self.remat)
        x = block(self.widths[-1], norm=self.norm, dtype=self.dtype, name="first")(states[0])
        for index, width in enumerate((*self.widths[-2::-1], self.widths[0])):
            if index + 1 < len(states):
                x = jnp.concatenate([x, states[index + 1].astype(x.dtype)], axis=-1)
            x = block(width, upsample=True, norm=self.norm, dtype=self.dtype, name=f"block{index}")(x)
        rgb = Conv(3, (3, 3), padding=1, dtype=self.dtype, name="to_rgb")(x)
        painted = jnp.tanh(at_least_float32(rgb))
        return self._mix(painted, start_frames, x) if self.copies and start_frames is not None else painted

    def _mix(self, painted: jax.Array, start_frames: jax.Array, x: jax.Array) -> jax.Array:
        """Returns the mixture, given the last features. Untrained, it is half of the start frame as it stands."""
        zeros = nn.initializers.zeros
        source = Conv(3, (3, 3), padding=1, kernel_init=zeros, bias_init=zeros, dtype=self.dtype, name="to_source")(x)
        flow, share = jnp.split(at_least_float32(source), (2,), axis=-1)  # dx, dy in pixels to where to copy from
        copied = warp(at_least_float32(start_frames), flow, "nearest")
        return painted + nn.sigmoid(share) * (copied - painted)


def build(
    *,
    size: int,
    features: int,
    min_spatial_size: int,
    narrowest: int = 32,
    levels: int = 0,
    bottleneck_cells: int = 1,
    image_norm: Norm = "instance",
    poke_norm: Norm = "instance",
    poke_over_time: PokeOverTime = "constant",
    poke_frames: int = 10,
    update_bias: float = 0.0,
    bounded_states: bool = False,
    copies: bool = False,
    remat: Remat = "none",
    dtype: Any = jnp.float32,
) -> dict[str, nn.Module]:
    """Returns the four networks by name, as `PokeModel` takes them.

    Args:
      size: height and width of the images.
      features: channels of the deepest state and of the latent poke.
      min_spatial_size: height and width of the deepest state.
      narrowest: channels of the first convolution of either encoder, from which on the widths double.
      levels: how many resolutions have dynamics and a connection to the decoder, the deepest first; 0: all.
      bottleneck_cells: GRU cells at the deepest state. The paper's baseline "Ours RNN" is levels=1 with 3 of them.
      image_norm: norm of the object encoder and decoder. Instance norm (the release) removes the level and contrast of
        each channel, which narrow networks cannot recover. "layer" keeps them: it uses one mean and variance over all
        channels and positions. With "none" states may leave [-1, 1], the range that a GRU can reach.
      poke_norm: see `PokeEncoder`.
      poke_over_time, poke_frames: see `convgru.poke_strengths`.
      update_bias: initial bias of the GRU's update gates. At 0 (the release) an untrained model forgets half of every
        state in each frame; well below 0 it starts by moving nothing.
      bounded_states: whether the object encoder's states lie in (-1, 1) like those of a GRU, so that the decoder sees
        moved and unmoved content alike. In the release they have no upper bound.
      copies: whether frames may copy pixels of the start frame, see `FrameDecoder`. What moves keeps its edges, which
        narrow states cannot hold.
      remat: where backward passes compute again what they would keep otherwise: nowhere, in the decoder, or in the
        object encoder and the dynamics, too.
    Raises:
      UserError: `size` is not `min_spatial_size` times 2, 4, 8, ..., `levels` exceeds the number of levels, or
        `bottleneck_cells` is less than 1.
    """
    stages = (size // min_spatial_size).bit_length() - 1
    if stages < 1 or size != min_spatial_size * 2**stages:
        raise UserError(
            f"size={size} is not min_spatial_size={min_spatial_size} times 2, 4, 8, ...: change min_spatial_size",
            "min_spatial_size",
            min_spatial_size,
        )
    if not 0 <= levels <= stages + 1:
        raise UserError(
            f"invalid value for levels: {levels} (must be from 1 to {stages + 1} with size={size} and "
            f"min_spatial_size={min_spatial_size}, or 0 for all)",
            "levels",
            levels,
        )
    if bottleneck_cells < 1:
        raise UserError(
            f"invalid value for bottleneck_cells: {bottleneck_cells} (must be at least 1)",
            "bottleneck_cells",
            bottleneck_cells,
        )
    widths, poke_widths = (
        tuple(min(first * 2**stage, features) for stage in range(stages))
        for first in (max(narrowest, features // 2**stages), narrowest)
    )
    return {
        "object_encoder": ObjectEncoder(widths, features, levels, image_norm, bounded_states, remat == "all", dtype),
        "poke_encoder": PokeEncoder(poke_widths, features, poke_norm, dtype),
        "dynamics": Dynamics(bottleneck_cells, poke_over_time, poke_frames, update_bias, remat == "all", dtype),
        "decoder": FrameDecoder(widths, image_norm, copies, remat != "none", dtype),
    }


class PokeModel(nn.Module):
    """The four networks together; its params are {"object_encoder": ..., "poke_encoder": ..., ...}."""

    object_encoder: nn.Module
    poke_encoder: nn.Module
    dynamics: nn.Module
    decoder: nn.Module
    frames: int = 10

    def __call__(self, start_frame: jax.Array, poke: jax.Array) -> jax.Array:
        """start_frame [B, H, W, 3] in [-1, 1], poke [B, H, W, 2] in pixels -> `frames` frames [B, frames, H, W, 3]."""
        states = self.predict(self.encode(start_frame), self.encode_poke(poke), self.frames)
        return self.decode(states, start_frame)

    def encode(self, images: jax.Array) -> States:
        """Returns the object states [B, h, w, C], the deepest first, of images [B, H, W, 3] in [-1, 1]."""
        return self.object_encoder(images)

    def encode_poke(self, poke: jax.Array) -> jax.Array:
        """Returns features [B, h, w, D] of poke maps [B, H, W, 2] in pixels."""
        return self.poke_encoder(poke)

    def predict(self, states: States, latent_poke: jax.Array, frames: int) -> States:
        """Returns the object states [B, frames, h, w, C] that follow `states` [B, h, w, C]."""
        return self.dynamics(states, latent_poke, frames)

    def begin(self, states: States) -> States:
        """Returns what `advance` starts from, given the object states of the start frame."""
        return self.dynamics.begin(states)

    def advance(
        self, cells: States, latent_poke: jax.Array, start_frame: jax.Array, frames: int, first: int | jax.Array
    ) -> tuple[States, jax.Array]:
        """Returns what to continue from, and frames `first` to `first + frames - 1` as a video [B, frames, H, W, 3]."""
        cells, states = self.dynamics.advance(cells, latent_poke, frames, first)
        return cells, self.decode(states, start_frame)

    def decode(self, states: States, start_frame: jax.Array | None = None) -> jax.Array:
        """States [B, h, w, C], or [B, T, h, w, C] in one batch, -> images [B, H, W, 3] or video [B, T, H, W, 3].

        Where the decoder copies, `start_frame` [B, H, W, 3] is what it copies from; without, it paints everything.
        """
        leading = states[0].shape[:-3]
        if start_frame is not None:
            start_frame = jnp.repeat(start_frame, math.prod(leading[1:]), axis=0)
        images = self.decoder(tuple(state.reshape(-1, *state.shape[-3:]) for state in states), start_frame)
        return images.reshape(*leading, *images.shape[1:])
