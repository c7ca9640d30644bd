"""Draws the links of `plants` with NumPy, antialiased, in all frames at once.

Stem links are tapered bars with round ends; blades (leaves, flower heads) are intersections of two discs. The signed
distance to the border of both is simple to compute, and the coverage of a pixel is that distance in pixels, clipped to
[0, 1].
"""

import dataclasses

import numpy as np

from i2v_jax.input.procedural.plants_mechanics import Pose


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """The shape and color of L links."""

    stems: int  # number of stem links, which come first
    radius: np.ndarray  # [L, 2], of a stem link at its start and end, or a blade's half width (twice); frame widths
    center: np.ndarray  # [L], position of a part's center along its link, as a share of the length
    half: np.ndarray  # [L], half of the part's extent along the link, as a share of the length
    light: np.ndarray  # [L, 3], RGB in [0, 255], right of the axis
    dark: np.ndarray  # [L, 3], left of the axis


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """A square window of k pixels around each link, and the link's coverage of it in F frames."""

    top: np.ndarray  # int [L]
    left: np.ndarray  # int [L]
    cover: np.ndarray  # float32 [L, F, k, k], the share of the pixel, in [0, 1]
    along: np.ndarray  # float32 [L, F, k, k], from the link's start, frame widths
    across: np.ndarray  # float32 [L, F, k, k], to the right of its axis, frame widths

    def at(self, link: int) -> tuple[slice, slice]:
        """Returns the rows and columns of the image that a link's window covers."""
        side = self.cover.shape[-1]
        return slice(self.top[link], self.top[link] + side), slice(self.left[link], self.left[link] + side)


def windows(pose: Pose, look: Look, size: int) -> Windows:
    """Returns the windows of all links of a plant.

    Args:
        pose: the L links in F frames; `start` is [F, L, 2].
        look: the shapes of the same links.
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
    """Returns values [L, F] as [L, F, 1, 1], float32 like the pixels."""
    return values[..., None, None].astype(np.float32)


def _to_stem(
    along: np.ndarray, across: np.ndarray, middle: np.ndarray, half: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Returns the signed distance to a bar with round ends, negative inside; its radius goes from `first` to `last`."""
    place = along - middle
    inside = np.clip(place, -half, half)
    radius = 0.5 * (first + last) + (0.5 * (last - first) / half) * inside
    return np.sqrt((place - inside) ** 2 + across**2) - radius


def _to_blade(
    along: np.ndarray, across: np.ndarray, middle: np.ndarray, half: np.ndarray, width: np.ndarray, _: np.ndarray
) -> np.ndarray:
    """Returns the signed distance to the intersection of two equal discs of half width `width`, negative inside."""
    disc = (half**2 + width**2) / (2.0 * width)
    return np.sqrt((along - middle) ** 2 + (np.abs(across) + (disc - width)) ** 2) - disc


def paint(layer: np.ndarray, measured: Windows, look: Look) -> None:
    """Draws the links over `layer`, float32 [3 or 4, F, H, W], in their order and in place.

    The first three channels are colors in [0, 255]; a fourth one is the transparency in [0, 1].
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
