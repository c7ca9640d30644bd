"""InceptionV3 (Szegedy et al. 2016) up to its pooled features: the backbone of the Frechet inception distance."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from i2v_jax.models.initializers import kaiming_fan_out
from i2v_jax.models.layers import Conv, at_least_float32
from i2v_jax.models.norms import BatchNorm
from i2v_jax.models.resampling import max_pool

Variant = Literal["fid", "torchvision", "torchvision_average_stem"]
CHANNELS = 2048


class Unit(NamedTuple):
    """Convolution without bias, batch norm, ReLU. Strided units are not padded, others keep the size."""

    name: str
    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True


class Pool(NamedTuple):
    """A pool over 3x3: "average" and "max" keep the size, "reduce" is a max pool of stride 2 without padding."""

    kind: Literal["average", "max", "reduce"]


# A step of a branch; several units in one step stand side by side and are concatenated.
Step = Unit | Pool | tuple[Unit, ...]
Branch = tuple[Step, ...]

_SQUARE, _WIDE, _TALL = (3, 3), (1, 7), (7, 1)


def _block_a(pooled: int) -> tuple[Branch, ...]:
    return (
        (Unit("branch1x1", 64),),
        (Unit("branch5x5_1", 48), Unit("branch5x5_2", 64, (5, 5))),
        (Unit("branch3x3dbl_1", 64), Unit("branch3x3dbl_2", 96, _SQUARE), Unit("branch3x3dbl_3", 96, _SQUARE)),
        (Pool("average"), Unit("branch_pool", pooled)),
    )


def _block_b() -> tuple[Branch, ...]:
    return (
        (Unit("branch3x3", 384, _SQUARE, 2),),
        (Unit("branch3x3dbl_1", 64), Unit("branch3x3dbl_2", 96, _SQUARE), Unit("branch3x3dbl_3", 96, _SQUARE, 2)),
        (Pool("reduce"),),
    )


def _block_c(width: int) -> tuple[Branch, ...]:
    long = [Unit(f"branch7x7dbl_{i}", width, _TALL if i % 2 == 0 else _WIDE) for i in range(2, 5)]
    return (
        (Unit("branch1x1", 192),),
        (Unit("branch7x7_1", width), Unit("branch7x7_2", width, _WIDE), Unit("branch7x7_3", 192, _TALL)),
        (Unit("branch7x7dbl_1", width), *long, Unit("branch7x7dbl_5", 192, _WIDE)),
        (Pool("average"), Unit("branch_pool", 192)),
    )


def _block_d() -> tuple[Branch, ...]:
    factored = (Unit("branch7x7x3_2", 192, _WIDE), Unit("branch7x7x3_3", 192, _TALL))
    return (
        (Unit("branch3x3_1", 192), Unit("branch3x3_2", 320, _SQUARE, 2)),
        (Unit("branch7x7x3_1", 192), *factored, Unit("branch7x7x3_4", 192, _SQUARE, 2)),
        (Pool("reduce"),),
    )


def _block_e(pool: Pool) -> tuple[Branch, ...]:
    def fork(name: str) -> tuple[Unit, Unit]:
        return Unit(f"{name}a", 384, (1, 3)), Unit(f"{name}b", 384, (3, 1))

    return (
        (Unit("branch1x1", 320),),
        (Unit("branch3x3_1", 384), fork("branch3x3_2")),
        (Unit("branch3x3dbl_1", 448), Unit("branch3x3dbl_2", 384, _SQUARE), fork("branch3x3dbl_3")),
        (pool, Unit("branch_pool", 192)),
    )


_STEM: tuple[Unit, ...] = (
    Unit("conv2d_1a_3x3", 32, _SQUARE, 2),
    Unit("conv2d_2a_3x3", 32, _SQUARE, padded=False),
    Unit("conv2d_2b_3x3", 64, _SQUARE),
    Unit("conv2d_3b_1x1", 80),
    Unit("conv2d_4a_3x3", 192, _SQUARE, padded=False),
)
_POOLED_STEM_UNITS = ("conv2d_2b_3x3", "conv2d_4a_3x3")


def blocks(variant: Variant) -> dict[str, tuple[Branch, ...]]:
    """Returns the branches of each block, in order; variants differ in the pool of the last one."""
    return {
        "mixed_5b": _block_a(32),
        "mixed_5c": _block_a(64),
        "mixed_5d": _block_a(64),
        "mixed_6a": _block_b(),
        "mixed_6b": _block_c(128),
        "mixed_6c": _block_c(160),
        "mixed_6d": _block_c(160),
        "mixed_6e": _block_c(192),
        "mixed_7a": _block_d(),
        "mixed_7b": _block_e(Pool("average")),
        "mixed_7c": _block_e(Pool("max" if variant == "fid" else "average")),
    }


def units() -> Iterator[str]:
    """Yields the path of each unit: "conv2d_1a_3x3", ..., "mixed_5b/branch1x1", ..., the same for all variants."""
    yield from (unit.name for unit in _STEM)
    for name, branches in blocks("fid").items():
        for step in (step for branch in branches for step in branch):
            if not isinstance(step, Pool):
                yield from (f"{name}/{unit.name}" for unit in ((step,) if isinstance(step, Unit) else step))


class InceptionV3(nn.Module):
    """Maps images [B, H, W, 3], H and W at least 75 (trained on 299), in the weights' range, to features [B, 2048].

    Attributes:
      variant: "fid" is TensorFlow's network of 2015, which FID is defined by: its average pools leave the padding
        out, and its last block has a max pool. "torchvision" counts the padding as zeros. "torchvision_average_stem"
        has, besides, average pools in place of the two max pools between the first layers: what the authors' poke
        model was evaluated with.
      dtype: of the computation; the features are float32.
    """

    variant: Variant = "fid"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = images
        for unit in _STEM:
            x = _ConvNorm(unit, self.dtype, name=unit.name)(x)
            if unit.name in _POOLED_STEM_UNITS:
                x = pool_stem(x, self.variant)
        for name, branches in blocks(self.variant).items():
            x = Block(branches, self.variant == "fid", self.dtype, name=name)(x)
        return jnp.mean(at_least_float32(x), axis=(1, 2))


def pool_stem(x: jax.Array, variant: Variant) -> jax.Array:
    """Returns the pool over 3x3 with stride 2 that occurs twice between the first layers."""
    return nn.avg_pool(x, (3, 3), (2, 2)) if variant == "torchvision_average_stem" else _reduce(x)


class _ConvNorm(nn.Module):
    unit: Unit
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        unit = self.unit
        height, width = unit.kernel
        padding = (height // 2, width // 2) if unit.padded and unit.stride == 1 else 0
        conv = Conv(
            unit.features,
            unit.kernel,
            unit.stride,
            padding,
            use_bias=False,
            kernel_init=kaiming_fan_out,
            dtype=self.dtype,
            name="conv",
        )
        return nn.relu(BatchNorm(eps=1e-3, name="norm")(conv(x)))


class Block(nn.Module):
    """Parallel branches. With `exclude_padding`, average pools divide by the number of pixels within the image."""

    branches: tuple[Branch, ...]
    exclude_padding: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        outputs = []
        for branch in self.branches:
            y = x
            for step in branch:
                y = self._apply(step, y)
            outputs.append(y)
        return jnp.concatenate(outputs, axis=-1)

    def _apply(self, step: Step, x: jax.Array) -> jax.Array:
        if isinstance(step, Pool):
            pools: dict[str, Callable[[jax.Array], jax.Array]] = {
                "average": lambda x: nn.avg_pool(
                    x, (3, 3), padding=((1, 1), (1, 1)), count_include_pad=not self.exclude_padding
                ),
                "max": lambda x: max_pool(x, (1, 1)),
                "reduce": _reduce,
            }
            return pools[step.kind](x)
        side_by_side = (step,) if isinstance(step, Unit) else step
        outputs = [_ConvNorm(unit, self.dtype, name=unit.name)(x) for unit in side_by_side]
        return jnp.concatenate(outputs, axis=-1)


def _reduce(x: jax.Array) -> jax.Array:
    return max_pool(x, (2, 2), (3, 3), ((0, 0), (0, 0)))
