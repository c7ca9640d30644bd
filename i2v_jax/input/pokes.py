"""Pokes for training, drawn from the optical flow between the first and the last frame of a clip.

A foreground poke is a pixel that moves far, and its displacement. A background poke is a pixel that does not move, with
the displacement of one that does; its target is the start frame, repeated (poke paper, section 3.2, appendix E.2).
Pixels are (x, y), displacements (dx, dy) in pixels at the model's resolution, y down.
"""

import dataclasses

import cv2
import numpy as np

from i2v_jax.errors import UserError

_ROUNDING = 1e-6  # tolerance for lengths at their bound
_LOWEST = 0.05  # fraction of the amplitudes that count as background


@dataclasses.dataclass(frozen=True)
class Poke:
    """One poke of a clip."""

    position: tuple[int, int]
    displacement: np.ndarray  # float32 [2]
    is_background: bool


def foreground(
    flow: np.ndarray,
    border: int,
    mask: np.ndarray | None = None,
    deviations: float = 2.0,
    within: tuple[float, float] | None = None,
) -> np.ndarray:
    """Returns the pixels that training pokes, int [N, 2] as (x, y) with N >= 1, of a flow map float32 [H, W, 2].

    These are the pixels at least `border` pixels inside the frame whose amplitude, normalized to [0, 1], is above mean
    + `deviations` standard deviations; if there are none, above mean + 1; if there are none, above the mean; or else
    all of them. With an object mask [H, W] (0 is the background), amplitudes of the background are 0 in the first try,
    and with `within` it takes those between these two only.
    """
    inner = _inner(amplitude_of(flow), border)
    spread = np.ptp(inner)
    amplitude = (inner - inner.min()) / (spread if spread > 0 else 1.0)
    masked = amplitude if mask is None else amplitude * (_inner(mask, border) != 0)
    low, high = within or (-np.inf, np.inf)
    first = (masked > masked.mean() + deviations * masked.std()) & (masked > low) & (masked < high)
    for chosen in (first, amplitude > amplitude.mean() + amplitude.std(), amplitude > amplitude.mean()):
        if chosen.any():
            return _places(chosen, border)
    return _places(np.ones_like(inner, bool), border)


def background(flow: np.ndarray, border: int, mask: np.ndarray | None = None) -> np.ndarray:
    """Returns the pixels of the background, int [N, 2] as (x, y) with N >= 1.

    With an object mask [H, W] (0 is the background), these are the pixels at least `border` pixels away from all
    objects, so that their pokes differ from pokes of objects; if there are none, all pixels of the background. Without
    a mask, or without background, they are the pixels below the lowest 5 % of amplitudes, or at it if none is below.
    """
    if mask is not None:
        for margin in (border, 0):
            objects = cv2.dilate((mask != 0).astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
            if (outside := _inner(objects, border) == 0).any():
                return _places(outside, border)
    inner = _inner(amplitude_of(flow), border)
    limit = np.quantile(inner, _LOWEST)
    below = inner < limit
    return _places(below if below.any() else inner <= limit, border)


def draw_poke(
    flow: np.ndarray,
    border: int,
    is_background: bool,
    rng: np.random.Generator,
    mask: np.ndarray | None = None,
    within: tuple[float, float] | None = None,
) -> Poke:
    """Draws a pixel of the foreground and its flow; a background poke has this flow at a pixel of the background.

    What a background poke copies is above the mean by one standard deviation, as in the release, in or out of objects.
    """
    pixels = (
        foreground(flow, border, deviations=1.0) if is_background else foreground(flow, border, mask, within=within)
    )
    x, y = pixels[rng.integers(len(pixels))]
    displacement = flow[y, x].astype(np.float32)
    if is_background:
        pixels = background(flow, border, mask)
        x, y = pixels[rng.integers(len(pixels))]
    return Poke((int(x), int(y)), displacement, is_background)


def poke_map(
    position: tuple[int, int], displacement: np.ndarray, size: int, poke_size: int, flow: np.ndarray | None = None
) -> np.ndarray:
    """Returns the poke as input of the networks, float32 [size, size, 2]: zero outside of a square around the pixel.

    Args:
        position: (x, y).
        displacement: [2], the value of the square.
        size: height and width of the map.
        poke_size: height and width of the square, odd.
        flow: [size, size, 2], the values of the square instead of `displacement`.
    """
    poke = np.zeros((size, size, 2), np.float32)
    (x, y), half = position, poke_size // 2
    square = slice(max(0, y - half), y + half + 1), slice(max(0, x - half), x + half + 1)
    poke[square] = displacement if flow is None else flow[square]
    return poke


def check_position(position: tuple[float, float], width: int, height: int) -> None:
    """Raises UserError unless a position is in an image of `width` x `height`; pixel (0, 0) has its center there."""
    x, y = (float(value) for value in position)
    if not np.isfinite([x, y]).all():
        raise UserError(f"position {x:g},{y:g}: x and y must be finite numbers", "position", (x, y))
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise UserError(f"position {x:g},{y:g} is outside the image of {width}x{height} pixels", "position", (x, y))


def check_poke(
    position: tuple[float, float],
    displacement: tuple[float, float],
    width: int,
    height: int,
    *,
    seen: tuple[int, int] | None = None,
    impulse: bool = False,
) -> None:
    """Checks a user's poke, in pixels of an image of `width` x `height`.

    Args:
        position: (x, y).
        displacement: (dx, dy). Its maximum is the diagonal of the visible part after that is resized to a square, so
            the bound is the same before and after resizing.
        width, height: size of the image.
        seen: width and height of the part that the model sees; by default the whole image.
        impulse: whether the displacement is a direction with a length of at most 1.

    Raises:
        UserError: the position is outside of the image, or the displacement is not finite, zero or too long.
    """
    check_position(position, width, height)
    dx, dy = (float(value) for value in displacement)
    length, shown = float(np.hypot(dx, dy)), f"displacement {dx:g},{dy:g}"
    if not np.isfinite([dx, dy]).all():
        raise UserError(f"{shown}: dx and dy must be finite numbers", "displacement", (dx, dy))
    if length == 0:
        raise UserError(f"{shown} is zero: give dx or dy", "displacement", (dx, dy))
    if impulse:
        if length > 1 + _ROUNDING:
            raise UserError(
                f"{shown} is {length:g} long (must be at most 1: this model was trained with impulses)",
                "displacement",
                (dx, dy),
            )
        return
    across, down = seen or (width, height)
    share = float(np.hypot(dx / across, dy / down)) / np.sqrt(2)
    if share > 1 + _ROUNDING:
        raise UserError(
            f"{shown} is {length:.0f} pixels long (must be at most {length / share:.0f} in this direction, in an image "
            f"of {width}x{height})",
            "displacement",
            (dx, dy),
        )


def moves(flow: np.ndarray, border: int, least: float) -> bool:
    """Returns whether anything inside the border moves by at least `least` pixels."""
    return bool(_inner(amplitude_of(flow), border).max() >= least)


def amplitude_of(flow: np.ndarray) -> np.ndarray:
    """Returns the length of each flow vector in pixels, [H, W, 2] -> [H, W]."""
    return np.hypot(flow[..., 0], flow[..., 1])


def _inner(image: np.ndarray, border: int) -> np.ndarray:
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def _places(chosen: np.ndarray, border: int) -> np.ndarray:
    return np.argwhere(chosen)[:, ::-1] + border
