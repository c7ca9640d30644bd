"""Drawing the links of `plants`, antialiased, for all frames at once, in NumPy.

Stem links are round-ended bars that grow thinner, blades (leaves, flower heads) the intersection of two discs. Both
have a simple distance to their border, and a pixel's cover is that distance in pixels, cut to [0, 1].
"""

import dataclasses

import numpy as np

from i2v_jax.input.procedural.plants_mechanics import Pose


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """The shape and color of L links."""

    stems: int  # how many; they are the first links
    radius: np.ndarray  # [L, 2], of a stem link at start and end, or a blade's half width (twice); frame widths
    center: np.ndarray  # [L], where along its link a part has its middle, a share of the length
    half: np.ndarray  # [L], how far it goes from there to both sides, a share of the length
    light: np.ndarray  # [L, 3], RGB in [0, 255], right of the axis
    dark: np.ndarray  # [L, 3], left of the axis


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """A square window of k pixels around each link, and what is in it in F frames."""

    top: np.ndarray  # int [L]
    left: np.ndarray  # int [L]
    cover: np.ndarray  # float32 [L, F, k, k], the share of the pixel, in [0, 1]
    along: np.ndarray  # float32 [L, F, k, k], from the link's start, frame widths
    across: np.ndarray  # float32 [L, F, k, k], to the right of its axis, frame widths

    def at(self, link: int) -> tuple[slice, slice]:
        """Rows and columns of the image under a link's window."""
        side = self.cover.shape[-1]
        return slice(self.top[link], self.top[link] + side), slice(self.left[link], self.left[link] + side)


def windows(pose: Pose, look: Look, size: int) -> Windows:
    """Measures all links of a plant.

    Args:
        pose: with start [F, L, 2].
        look: of the same links.
        size: height and width of the image.
    """
    middle = pose.start + pose.axis * (pose.length * look.center)[..., None]
    reach = np.abs(pose.axis) * (pose.length * look.half)[..., None] + look.radius.max(1)[:, None] + 1.0 / size
    low, high = (middle - reach).min(0) * size, (middle + reach).max(0) * size
    side = min(size, int(np.ceil((high - low).max())) + 1)
    corner = np.clip(np.floor(low), 0, size - side).astype(int)
    grid = ((corner[:, :, None] + np.arange(side) + 0.5) / size).astype(np.float32)  # [L, 2, k]
    offset = grid[:, None] - pose.start.transpose(1, 0, 2)[..., None].astype(np.float32)  # [L, F, 2, k]
    axis = pose.axis.transpose(1, 0, 2)[..., None].astype(np.float32)
    (x, y), (axis_x, axis_y) = (np.moveaxis(a, 2, 0) for a in (offset, axis))
    along = (x * axis_x)[:, :, None, :] + (y * axis_y)[..., None]
    across = (y * axis_x)[..., None] - (x * axis_y)[:, :, None, :]
    cover = np.empty_like(along)
    for part, distance in ((slice(look.stems), _to_stem), (slice(look.stems, None), _to_blade)):
        length = pose.length.T[part]
        middle, half = look.center[part, None] * length, look.half[part, None] * length
        measures = (_wide(values) for values in (middle, half, *look.radius[part].T[..., None]))
        inside = np.float32(-size) * distance(along[part], across[part], *measures)
        np.clip(inside + np.float32(0.5), 0.0, 1.0, out=cover[part])
    return Windows(corner[:, 1], corner[:, 0], cover, along, across)


def _wide(values: np.ndarray) -> np.ndarray:
    """[L, F] -> [L, F, 1, 1], of the pixels' type."""
    return values[..., None, None].astype(np.float32)


def _to_stem(
    along: np.ndarray, across: np.ndarray, middle: np.ndarray, half: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Signed distance to the border of a round-ended bar, negative inside; its radius goes from `first` to `last`."""
    place = along - middle
    inside = np.clip(place, -half, half)
    radius = 0.5 * (first + last) + (0.5 * (last - first) / half) * inside
    return np.sqrt((place - inside) ** 2 + across**2) - radius


def _to_blade(
    along: np.ndarray, across: np.ndarray, middle: np.ndarray, half: np.ndarray, width: np.ndarray, _: np.ndarray
) -> np.ndarray:
    """Signed distance to the border of the intersection of two equal discs, negative inside; `width` is half of its."""
    disc = (half**2 + width**2) / (2.0 * width)
    return np.sqrt((along - middle) ** 2 + (np.abs(across) + (disc - width)) ** 2) - disc


def paint(layer: np.ndarray, measured: Windows, look: Look) -> None:
    """Draws the links in their order over `layer`, float32 [3 or 4, F, H, W].

    The first three channels are colors in [0, 255]; a fourth is the share of what lies behind that is still seen.
    """
    gain = (0.6 / look.radius.mean(1))[:, None, None, None].astype(np.float32)
    lit = measured.cover * np.clip(measured.across * gain + np.float32(0.5), 0.0, 1.0)
    behind = 1.0 - measured.cover
    tones = np.stack([look.light - look.dark, look.dark], axis=-1).astype(np.float32)  # [L, 3, 2]
    shape = measured.cover.shape[1:]
    for link, tone in enumerate(tones):
        under = layer[:, :, *measured.at(link)]
        under *= behind[link]
        shares = np.stack([lit[link], measured.cover[link]]).reshape(2, -1)
        under[:3] += (tone @ shares).reshape(3, *shape)
