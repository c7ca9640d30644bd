"""What is done to frames in [-1, 1] before a backbone sees them: its range of values and its resizing."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from i2v_jax.pixels import to_unit
from i2v_jax.pretrained.networks import lpips
from i2v_jax.pretrained.resize import Corners, resize


@dataclasses.dataclass(frozen=True)
class InputRange:
    """The range of values that a backbone sees."""

    description: str  # for the record, whose hash includes it
    convert: Callable[[jax.Array], jax.Array]  # of frames in [-1, 1]


SIGNED = InputRange("[-1, 1]", lambda x: x)
UNIT = InputRange("[0, 1]", to_unit)
# What a network that expects [0, 1] and maps it to [-1, 1] makes of frames that are in [-1, 1] already.
UNSCALED = InputRange("[-3, 1] (unscaled)", lambda x: 2 * x - 1)
# LPIPS has the same statistics of ImageNet, for frames in [-1, 1].
IMAGENET = InputRange("[0, 1] with ImageNet mean and deviation", lambda x: (x - lpips.SHIFT) / lpips.SCALE)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """A range of values, then a bilinear resizing to squares. Called with frames [..., H, W, 3] in [-1, 1]."""

    input_range: InputRange = SIGNED
    size: int = 0  # height and width after resizing; 0: frames keep their size
    corners: Corners | None = None  # see `pretrained.resize`; None: no resizing

    @property
    def kernel(self) -> str:
        """The kernel of the resizing, for the record."""
        return "none" if self.corners is None else "bilinear"

    def __call__(self, frames: jax.Array) -> jax.Array:
        """Returns what the backbone sees: [..., H, W, 3] -> [..., size, size, 3]."""
        converted = self.input_range.convert(jnp.asarray(frames))
        return converted if self.corners is None else resize(converted, self.size, self.size, self.corners)
