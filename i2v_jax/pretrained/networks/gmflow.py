"""GMFlow (Xu et al., CVPR 2022): optical flow as matching of features, with the refinement of section 3.4.

Features are [B, h, w, C], at 1/8 of the image's resolution and then, to refine, at 1/4. Flow is (dx, dy) in pixels of
its own size, y down.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from i2v_jax.models.layers import Conv, Linear
from i2v_jax.models.norms import normalize_instances
from i2v_jax.models.resampling import resize_bilinear, warp

MULTIPLE = 32  # of which an image's height and width must be multiples
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet, for images in [0, 1]
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_STAGES = ((64, 1), (96, 2), (128, 1))  # (channels, stride) of the encoder
_COARSE_WINDOWS, _FINE_WINDOWS = 2, 8  # on each axis, within which features attend to each other
_SEARCH_RADIUS = 4  # of the refinement, in features
_FACTOR = 4  # of the last upsampling
_HIDDEN = 256
_OUTSIDE, _ANOTHER_REGION = -1e9, -100.0  # scores of what must not be attended to


class GMFlow(nn.Module):
    """Estimates the flow between images.

    Attributes:
      channels: of the features that are matched; a multiple of 4.
      layers: of the Transformer.
    """

    channels: int = 128
    layers: int = 6

    @nn.compact
    def __call__(self, first: jax.Array, second: jax.Array) -> jax.Array:
        """Returns the flow [B, H, W, 2] from `first` to `second`, [B, H, W, 3] in [0, 1]; H, W: multiples of 32."""
        features = Encoder(self.channels, name="encoder")((jnp.concatenate([first, second]) - _MEAN) / _STD)
        transformer = Transformer(self.layers, name="transformer")
        propagation = Propagation(name="propagation")

        a, b = jnp.split(transformer(features[:, ::2, ::2], _COARSE_WINDOWS), 2)
        flow = propagation(a, match(a, b), everywhere=True)

        a, b = jnp.split(features, 2)
        flow = 2 * resize_bilinear(flow, *a.shape[1:3])
        a, b = jnp.split(transformer(jnp.concatenate([a, warp(b, flow)]), _FINE_WINDOWS), 2)
        flow = propagation(a, flow + match_nearby(a, b, _SEARCH_RADIUS), everywhere=False)
        return ConvexUpsampling(name="upsampling")(flow, a)


class Encoder(nn.Module):
    """Maps images [B, H, W, 3] to features [B, H/4, W/4, channels]; every second of them is that at 1/8."""

    channels: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = Conv(_STAGES[0][0], (7, 7), 2, 3, use_bias=False, name="stem")(images)
        x = nn.relu(normalize_instances(x))
        for stage, (channels, stride) in enumerate(_STAGES):
            x = ResidualBlock(channels, stride, name=f"stage_{stage}_0")(x)
            x = ResidualBlock(channels, name=f"stage_{stage}_1")(x)
        x = Conv(self.channels, (1, 1), name="projection")(x)
        # The authors apply this convolution with strides of 1 and of 2.
        return Conv(self.channels, (3, 3), 1, 1, use_bias=False, name="output")(x)


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm, added to the input, which is projected where the shape changes."""

    channels: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = Conv(self.channels, (3, 3), self.stride, 1, use_bias=False, name="conv1")(x)
        y = nn.relu(normalize_instances(y))
        y = Conv(self.channels, (3, 3), 1, 1, use_bias=False, name="conv2")(y)
        if x.shape != y.shape:
            x = normalize_instances(Conv(self.channels, (1, 1), self.stride, name="skip")(x))
        return nn.relu(x + nn.relu(normalize_instances(y)))


class Transformer(nn.Module):
    """Enhances the features of two images by self- and cross-attention within windows (section 3.2, equation 5).

    Every second layer shifts the windows by half of their size, as Swin does (Liu et al. 2021, section 3.2).
    """

    layers: int

    @nn.compact
    def __call__(self, features: jax.Array, windows: int) -> jax.Array:
        """Returns features like the given ones, [2 B, h, w, C]: of all first images, then of all second ones.

        Args:
          features: h and w are multiples of `windows`.
          windows: on each axis.
        """
        _, height, width, channels = features.shape
        encoding = position_encoding(height // windows, width // windows, channels)
        x = features + np.tile(encoding, (windows, windows, 1))
        for index in range(self.layers):
            shifted = index % 2 == 1
            others = jnp.concatenate(jnp.split(x, 2)[::-1])
            x = WindowAttention(windows, shifted, name=f"layer_{index}_self")(x, x)
            x = WindowAttention(windows, shifted, feed_forward=True, name=f"layer_{index}_cross")(x, others)
        return x


class WindowAttention(nn.Module):
    """Adds what `x` finds in `others`, both [B, h, w, C], within windows; with `feed_forward` through an MLP."""

    windows: int
    shifted: bool
    feed_forward: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, others: jax.Array) -> jax.Array:
        _, height, width, channels = x.shape

        def project(name: str, inputs: jax.Array) -> jax.Array:
            return Linear(channels, use_bias=False, name=name)(inputs)

        window = height // self.windows, width // self.windows
        shift = (window[0] // 2, window[1] // 2) if self.shifted else (0, 0)
        query, key, value = (
            _split(jnp.roll(projected, (-shift[0], -shift[1]), (1, 2)), self.windows)
            for projected in (project("query", x), project("key", others), project("value", others))
        )
        bias = shifted_window_bias(height, width, self.windows) if self.shifted else 0.0
        message = _merge(attend(query, key, value, bias), self.windows, height, width)
        message = _norm("norm", project("merge", jnp.roll(message, shift, (1, 2))))
        if self.feed_forward:
            message = jnp.concatenate([x, message], axis=-1)
            message = nn.gelu(Linear(8 * channels, use_bias=False, name="mlp_hidden")(message), approximate=False)
            message = _norm("mlp_norm", project("mlp_output", message))
        return x + message


class Propagation(nn.Module):
    """Replaces flow by that of similar features, so that hidden pixels get one (section 3.3, equation 6)."""

    @nn.compact
    def __call__(self, features: jax.Array, flow: jax.Array, *, everywhere: bool) -> jax.Array:
        """Returns flow like the given one, [B, h, w, 2], from `everywhere` or else from the eight pixels around."""
        batch, height, width, channels = features.shape
        query, key = Linear(channels, name="query"), Linear(channels, name="key")
        queries = query(features)
        if everywhere:  # the authors' weights were trained with keys that are made from queries here
            query_rows, key_rows, flow_rows = (
                x.reshape(batch, height * width, -1) for x in (queries, key(queries), flow)
            )
            return attend(query_rows, key_rows, flow_rows).reshape(flow.shape)
        weights = jax.nn.softmax(scores_nearby(queries, key(features), 1), axis=0)
        return jnp.einsum("kbhw,kbhwc->bhwc", weights, neighbors(flow, 1))


class ConvexUpsampling(nn.Module):
    """Upsamples flow fourfold: each new pixel is a convex combination of 3x3 old ones (RAFT, Teed and Deng 2020)."""

    @nn.compact
    def __call__(self, flow: jax.Array, features: jax.Array) -> jax.Array:
        """Returns [B, 4 h, 4 w, 2] from flow [B, h, w, 2] and features [B, h, w, C]."""
        batch, height, width, _ = flow.shape
        x = jnp.concatenate([flow, features], axis=-1)
        x = nn.relu(Conv(_HIDDEN, (3, 3), 1, 1, name="hidden")(x))
        x = Conv(9 * _FACTOR**2, (1, 1), name="weights")(x)
        weights = jax.nn.softmax(x.reshape(batch, height, width, 9, _FACTOR, _FACTOR), axis=3)
        fine = jnp.einsum("bhwkij,kbhwc->bhiwjc", weights, neighbors(_FACTOR * flow, 1))
        return fine.reshape(batch, _FACTOR * height, _FACTOR * width, 2)


def attend(query: jax.Array, key: jax.Array, value: ArrayLike, bias: ArrayLike = 0.0) -> jax.Array:
    """Returns softmax(Q K^T / sqrt(C) + bias) V: [..., L, C], [..., M, C] and [..., M, D] give [..., L, D]."""
    scores = query @ jnp.swapaxes(key, -1, -2) / math.sqrt(query.shape[-1]) + bias
    return jax.nn.softmax(scores, axis=-1) @ jnp.asarray(value)


def match(first: jax.Array, second: jax.Array) -> jax.Array:
    """Returns the flow [B, h, w, 2] between features by comparing all with all (section 3.1, equations 1 to 4)."""
    batch, height, width, channels = first.shape
    positions = _positions(height, width).reshape(-1, 2)
    query, key = (features.reshape(batch, -1, channels) for features in (first, second))
    return (attend(query, key, positions) - positions).reshape(batch, height, width, 2)


def match_nearby(first: jax.Array, second: jax.Array, radius: int) -> jax.Array:
    """Returns the flow [B, h, w, 2] between features that are at most `radius` apart on each axis (section 3.4)."""
    rows, columns = (np.arange(size) for size in first.shape[1:3])
    offsets = _offsets(radius)
    ends = [axis + offsets[:, i, None] for i, axis in ((0, rows), (1, columns))]
    inside = [(end >= 0) & (end < len(axis)) for end, axis in zip(ends, (rows, columns), strict=True)]
    allowed = (inside[0][:, :, None] & inside[1][:, None])[:, None]  # [K, 1, h, w]
    weights = jax.nn.softmax(jnp.where(allowed, scores_nearby(first, second, radius), _OUTSIDE), axis=0)
    return jnp.einsum("kbhw,kc->bhwc", weights, jnp.asarray(offsets[:, ::-1], first.dtype))


def scores_nearby(query: jax.Array, key: jax.Array, radius: int) -> jax.Array:
    """Returns Q K^T / sqrt(C) for the keys around each query, [K, B, h, w]; beyond the edges keys are zero."""
    padded = _pad(key, radius)

    def score(offset: jax.Array) -> jax.Array:
        keys = jax.lax.dynamic_slice(padded, (0, offset[0] + radius, offset[1] + radius, 0), key.shape)
        return jnp.sum(query * keys, axis=-1) / math.sqrt(query.shape[-1])

    return jax.lax.map(
        score, jnp.asarray(_offsets(radius))
    )  # one after the other: all at once are K times the features


def neighbors(x: jax.Array, radius: int) -> jax.Array:
    """Returns what is around each pixel, [B, h, w, C] -> [K, B, h, w, C], in the order of `_offsets`, 0 outside."""
    height, width = x.shape[1:3]
    padded = _pad(x, radius)
    starts = _offsets(radius) + radius
    return jnp.stack([padded[:, row : row + height, column : column + width] for row, column in starts])


def position_encoding(height: int, width: int, channels: int) -> np.ndarray:
    """Returns the sine encoding of the positions in a window, [height, width, channels] (Carion et al. 2020)."""
    count = channels // 2
    periods = 10_000.0 ** (2 * (np.arange(count) // 2) / count)

    def encode(size: int) -> np.ndarray:
        phases = 2 * np.pi * np.arange(1, size + 1)[:, None] / (size + 1e-6) / periods
        return np.where(np.arange(count) % 2 == 0, np.sin(phases), np.cos(phases))

    rows = np.broadcast_to(encode(height)[:, None], (height, width, count))
    columns = np.broadcast_to(encode(width)[None], (height, width, count))
    return np.concatenate([rows, columns], axis=-1).astype(np.float32)


def shifted_window_bias(height: int, width: int, windows: int) -> np.ndarray:
    """Returns what is added to scores, [windows^2, L, L]: shifted windows also hold what came around the edges."""

    def region(size: int) -> np.ndarray:
        window = size // windows
        return np.searchsorted([size - window, size - window // 2], np.arange(size), side="right")

    regions = (3 * region(height)[:, None] + region(width)).reshape(1, height, width, 1)
    flat = np.asarray(_split(regions, windows))[0, ..., 0]
    return np.where(flat[:, :, None] == flat[:, None], 0.0, _ANOTHER_REGION).astype(np.float32)


def _split(x: jax.Array, windows: int) -> jax.Array:
    """Splits into windows: [B, h, w, C] -> [B, windows^2, L, C]."""
    batch, height, width, channels = x.shape
    parts = x.reshape(batch, windows, height // windows, windows, width // windows, channels)
    return parts.swapaxes(2, 3).reshape(batch, windows**2, -1, channels)


def _merge(parts: jax.Array, windows: int, height: int, width: int) -> jax.Array:
    """Inverts `_split`."""
    batch, _, _, channels = parts.shape
    x = parts.reshape(batch, windows, windows, height // windows, width // windows, channels)
    return x.swapaxes(2, 3).reshape(batch, height, width, channels)


def _norm(name: str, x: jax.Array) -> jax.Array:
    return nn.LayerNorm(1e-5, use_fast_variance=False, name=name)(x)


def _pad(x: jax.Array, radius: int) -> jax.Array:
    return jnp.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)))


def _offsets(radius: int) -> np.ndarray:
    """Returns the (row, column) of all within `radius`, int [K, 2]."""
    axis = np.arange(-radius, radius + 1)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def _positions(height: int, width: int) -> np.ndarray:
    """Returns the (x, y) of all pixels, float32 [height, width, 2]."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
