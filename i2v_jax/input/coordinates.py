"""Conversion from the pixel coordinates of a user's image to those of the model's square frame."""

import numpy as np

from i2v_jax.errors import UserError
from i2v_jax.input import pokes

_EDGE = 1e-3  # pixels: in float32 a position just inside the edge would be rounded to the edge


class Scaling:
    """Applies to positions and displacements what `transforms.fit` does to an image of `width` x `height`.

    The center of pixel (x, y) is at (x, y), before and after.
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
        """Returns position and displacement [2] in the model's pixels. An impulse (`pokes.check_poke`) is not scaled.

        Raises:
            UserError: it is not a valid poke of this image.
        """
        pokes.check_poke((x, y), (dx, dy), self.width, self.height, seen=self._seen, impulse=impulse)
        displacement = np.array([dx, dy]) if impulse else np.array([dx, dy]) * self._scale
        return self._inside(x, y), displacement

    def position(self, x: float, y: float) -> np.ndarray:
        """Returns a position [2] in the model's pixels. Raises UserError if it is outside of the image."""
        pokes.check_position((x, y), self.width, self.height)
        return self._inside(x, y)

    def _inside(self, x: float, y: float) -> np.ndarray:
        position = (np.array([x - self._left, y - self._top]) + 0.5) * self._scale - 0.5
        if (position < -0.5).any() or (position >= self._size - 0.5).any():
            raise UserError(f"position {x:g},{y:g} is cut off with crop=center: use crop=resize", "crop", "center")
        return np.minimum(position, self._size - 0.5 - _EDGE)


def numbers(name: str, text: str, form: str) -> list[float]:
    """Returns the numbers in a text like "1,2,3".

    Args:
        name: of the value, for messages.
        text: the text.
        form: its form, like "x,y,z".

    Raises:
        UserError: the text does not have the form.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != form.count(",") + 1:
        raise UserError(f"{name}={text} does not have the form {form}", name, text)
    return values
