"""A control that is added from outside of the package, as `docs/extending.md` shows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from i2v_jax.errors import UserError
from i2v_jax.tasks.control import Control, register

SIDES = ("right", "left")


class Side(Control):
    """Whether the contents of the frames move to the right or to the left. Values are [B], 0 or 1."""

    name, width, arrays, form = "side", 2, ("direction",), "left or right"

    def values_of(self, arrays: list[ArrayLike]) -> ArrayLike:
        (bins,) = map(jnp.asarray, arrays)  # of ten degrees: 90 to 270 degrees are to the left
        return ((bins >= 9) & (bins < 27)).astype(jnp.int32)

    def encode(self, values: ArrayLike, size: int) -> jax.Array:
        return jax.nn.one_hot(values, self.width, dtype=jnp.float32)

    def parse(self, text: str) -> NDArray[Any]:
        if text not in SIDES:
            raise UserError(f"side={text}: choose left or right", self.name, text)
        return np.array([SIDES.index(text)], np.int32)

    def random(self, rng: jax.Array, count: int) -> jax.Array:
        return self.encode(jax.random.randint(rng, (count,), 0, self.width), 0)

    def example(self, size: int) -> NDArray[Any]:
        return np.array([1], np.int32)


register(Side())
