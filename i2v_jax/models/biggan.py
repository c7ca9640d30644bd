"""The generator of the image autoencoder: BigGAN's (Brock et al. 2018) with a soft class instead of a label."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.errors import UserError
from i2v_jax.models.layers import Conv, Linear, at_least_float32, block_of, broadcast_like
from i2v_jax.models.norms import BatchNorm
from i2v_jax.models.resampling import repeat

CLASS_EMBEDDING = 128
NORM_EPS = 1e-4
FIRST_MAP = 4  # pixels to a side
ATTENTION_FROM = 128  # smaller images have no self-attention
SIZES = (32, 64, 128)


def widths(size: int) -> tuple[int, ...]:
    """Returns the width of each block's output over `channels`; each block doubles the resolution, from 4x4.

    16, 8, 4, 2, 1 at 128x128 and 16, 8, 4, 1 at 64x64 are the release's; 16, 8, 1 at 32x32 drops one more.

    Raises:
      UserError: the size is not one of `SIZES`.
    """
    if size not in SIZES:
        raise UserError(f"invalid value for size: {size} (must be one of {', '.join(map(str, SIZES))})", "size", size)
    blocks = (size // FIRST_MAP).bit_length() - 1
    return (*(16 >> block for block in range(blocks - 1)), 1)


def code_size(size: int) -> int:
    """Returns the entries of z per block: 10 at 64x64 and 20 at 128x128 (the release), hence 5 at 32x32."""
    return 5 * size // 32


def output_layer(dtype: Any, name: str | None = None) -> Conv:
    """Applies the last convolution, [B, H, W, C] -> [B, H, W, 3]. Its gradients weigh the adversarial term."""
    return Conv(3, (3, 3), padding=1, spectral_norm="stored", dtype=dtype, name=name)


def to_image(x: jax.Array) -> jax.Array:
    """Maps the output of the last convolution into (-1, 1), float32."""
    return jnp.tanh(at_least_float32(x))


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale (1 + gamma) and shift are linear in the condition."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array, train: bool) -> jax.Array:
        """x [B, H, W, C], condition [B, c] -> [B, H, W, C]."""

        def embed(name: str) -> jax.Array:
            linear = Linear(x.shape[-1], use_bias=False, spectral_norm="stored", dtype=self.dtype, name=name)
            return linear(condition)

        norm = BatchNorm(affine=False, eps=NORM_EPS, name="norm")
        return norm(x, train, 1 + embed("gamma"), embed("beta"))


class GeneratorBlock(nn.Module):
    """Residual block that doubles the resolution."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array, train: bool) -> jax.Array:
        """x [B, H, W, C], condition [B, c] -> [B, 2H, 2W, features]."""

        def conv(kernel: int, name: str) -> Conv:
            size = (kernel, kernel)
            return Conv(self.features, size, padding=kernel // 2, spectral_norm="stored", dtype=self.dtype, name=name)

        h = nn.relu(ConditionalBatchNorm(self.dtype, name="norm0")(x, condition, train))
        h = conv(3, "conv0")(repeat(h, (2, 2)))
        h = nn.relu(ConditionalBatchNorm(self.dtype, name="norm1")(h, condition, train))
        # A 1x1 convolution commutes with nearest up-sampling and is four times cheaper before it.
        return conv(3, "conv1")(h) + repeat(conv(1, "shortcut")(x), (2, 2))


class SelfAttention(nn.Module):
    """x + gamma * attention over all positions, keys and values at half the resolution (Zhang et al. 2018)."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C]; H and W are even, C a multiple of 8."""
        batch, height, width, channels = x.shape

        def conv(features: int, name: str) -> Conv:
            return Conv(features, (1, 1), use_bias=False, spectral_norm="stored", dtype=self.dtype, name=name)

        def pooled(maps: jax.Array) -> jax.Array:
            maps = maps.reshape(batch, height // 2, 2, width // 2, 2, -1)
            return jnp.max(maps, axis=(2, 4)).reshape(batch, height * width // 4, -1)

        query = conv(channels // 8, "theta")(x).reshape(batch, height * width, -1)
        key = pooled(conv(channels // 8, "phi")(x))
        value = pooled(conv(channels // 2, "g")(x))
        logits = jnp.einsum("bqc,bkc->bqk", query, key, preferred_element_type=jnp.float32)
        weights = nn.softmax(logits, axis=-1).astype(self.dtype)
        attended = jnp.einsum("bqk,bkc->bqc", weights, value).reshape(batch, height, width, -1)
        gamma = self.param("gamma", nn.initializers.zeros, (1,), jnp.float32)
        return x + broadcast_like(gamma, x) * conv(channels, "output")(attended)


def smallest_code(size: int) -> int:
    """Returns the smallest z for images of that size: a code per block and one entry for the first map."""
    return len(widths(size)) * code_size(size) + 1


class Generator(nn.Module):
    """Code and class probabilities -> images.

    The first entries of the code make the 4x4 map; then `code_size(size)` entries go to each block in turn, which sees
    them with an embedding of the class. The features before the last convolution are sown as `intermediates/features`.
    """

    size: int
    channels: int = 96
    remat: bool = False  # see `layers.block_of`
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array, classes: jax.Array, train: bool = False) -> jax.Array:
        """code [B, z], classes [B, num_classes] (rows sum to 1) -> images [B, size, size, 3] in (-1, 1), float32.

        Raises:
          UserError: z has no entry left for the first map.
        """
        factors, chunk = widths(self.size), code_size(self.size)
        if code.shape[-1] < smallest_code(self.size):
            raise UserError(
                f"invalid value for z_dim: {code.shape[-1]} (must be at least {smallest_code(self.size)} for images of "
                f"{self.size}x{self.size})",
                "z_dim",
                code.shape[-1],
            )
        first = code.shape[-1] - len(factors) * chunk
        embedding = Linear(CLASS_EMBEDDING, use_bias=False, dtype=self.dtype, name="embed")(classes)
        features = FIRST_MAP * FIRST_MAP * 16 * self.channels
        x = Linear(features, spectral_norm="stored", dtype=self.dtype, name="first_map")(code[:, :first])
        x = x.reshape(-1, FIRST_MAP, FIRST_MAP, 16 * self.channels)
        for block, factor in enumerate(factors):
            if self.size >= ATTENTION_FROM and block == len(factors) - 1:
                x = SelfAttention(self.dtype, name="attention")(x)
            start = first + block * chunk
            condition = jnp.concatenate([code[:, start : start + chunk].astype(self.dtype), embedding], axis=-1)
            generator_block = block_of(GeneratorBlock, self.remat, train_argument=3)
            x = generator_block(factor * self.channels, self.dtype, name=f"blocks_{block}")(x, condition, train)
        x = nn.relu(BatchNorm(eps=NORM_EPS, name="norm")(x, train))
        self.sow("intermediates", "features", x)
        return to_image(output_layer(self.dtype, name="output")(x))
