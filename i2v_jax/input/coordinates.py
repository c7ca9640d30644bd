"""From pixels of an image as its user knows it to those of the model's square."""

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import pokes

_EDGE = 1e-3  # pixels: in float32 a place just inside the edge would be on it


class Scaling:
    """How `transforms.fit` brings an image of `width` x `height` to a square: the same for places and displacements.

    Pixel (x, y) has its middle at (x, y), before and after.
    """

    def __init__(self, width: int, height: int, size: int, crop: str) -> None:
        self.width, self.height = width, height
        across, down = width, height
        self._left = self._top = 0
        if crop != "resize":
            across = down = min(height, width)
            self._top, self._left = round((height - down) / 2), round((width - across) / 2)
        self._seen = across, down
        self._size, self._scale = size, np.array([size / across, size / down])

    def poke(self, x: float, y: float, dx: float, dy: float, *, impulse: bool) -> tuple[np.ndarray, np.ndarray]:
        """Position and displacement [2] in the model's pixels; `impulse`: as of `pokes.check_poke`, and not scaled.

        Raises UserError for what is no poke of this image.
        """
        pokes.check_poke((x, y), (dx, dy), self.width, self.height, seen=self._seen, impulse=impulse)
        displacement = np.array([dx, dy]) if impulse else np.array([dx, dy]) * self._scale
        return self._inside(x, y), displacement

    def position(self, x: float, y: float) -> np.ndarray:
        """Position [2] in the model's pixels. Raises UserError for what is none in this image."""
        pokes.check_position((x, y), self.width, self.height)
        return self._inside(x, y)

    def _inside(self, x: float, y: float) -> np.ndarray:
        place = (np.array([x - self._left, y - self._top]) + 0.5) * self._scale - 0.5
        if (place < -0.5).any() or (place >= self._size - 0.5).any():
            raise UserError(f"position {x:g},{y:g} is cut off with crop=center, give crop=resize")
        return np.minimum(place, self._size - 0.5 - _EDGE)


def numbers(name: str, text: str, form: str) -> list[float]:
    """The numbers of "1,2,3" for a `form` like "x,y,z". Raises UserError for what is none, and for another count."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != form.count(",") + 1:
        raise UserError(f"{name}={text}: {form.count(',') + 1} numbers are needed, {form}")
    return values
