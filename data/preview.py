"""A picture of a prepared data set for the poke model: flow, masks, and pokes drawn as in training."""

from pathlib import Path

import numpy as np

from i2v_jax import media
from i2v_jax.errors import UserError
from i2v_jax.input import flow, masks, pokes, transforms
from i2v_jax.input.flow_store import FlowStore
from i2v_jax.input.sources import RecordSource

_SIZE = 128  # of a frame as the network sees it
_SCALE = 2
_POKE_SIZE = 5
_ROWS = 6
_POKES = 3  # of what moves, in each clip
_OBJECT: media.Color = media.ACCENT
_GROUND: media.Color = (40, 110, 255)


def preview(prepared: Path, split: str, distance: int, *, grabcut: bool, crop: str = "resize") -> media.Pixels:
    """Draws clips from different videos, a row for each.

    A row has the start frame with three pokes of what moves (red) and one of the background (blue), the last frame with
    their targets, the flow between the two, the mask (what is not the object is gray), and the pixels that training
    pokes (red) and takes for background (blue). The flow is the stored one, or else estimated by DIS.

    Args:
        prepared: the folder of the data set.
        split: "train", "eval" or "test".
        distance: frames from the first to the last frame.
        grabcut: whether GrabCut finds masks where none are stored.
        crop: how frames are made square.

    Returns:
        uint8 [h, w, 3].

    Raises:
        UserError: no video is long enough, or a file is damaged.
    """
    source = RecordSource(prepared, split)
    store, mask_store = FlowStore(prepared, source.stored_splits), masks.MaskStore(prepared, source.stored_splits)
    long_enough = [video for video in range(len(source)) if source.num_frames(video) > distance]
    if not long_enough:
        raise UserError(f"{prepared}: no video of {split} has {distance + 1} frames", "flow_distance", distance)
    moving = [video for video in long_enough if store.has(video, distance)] or long_enough
    chosen = np.unique(np.linspace(0, len(moving) - 1, _ROWS).round().astype(int))
    rows = []
    for video in (moving[index] for index in chosen):
        start = (source.num_frames(video) - 1 - distance) // 2
        frames = transforms.fit(source.read(video, [start, start + distance], _SIZE), _SIZE, crop)
        if store.has(video, distance):
            motion, origin = flow.fit(store.read(video, start, start + distance), _SIZE, crop), "stored"
        else:
            motion, origin = flow.estimate(*frames), "DIS"
        cells = _cells(frames, motion, origin, _mask(mask_store, video, start, frames[0], grabcut, crop))
        rows.append((f"{source.name(video)}, frames {start} and {start + distance}", media.side_by_side(cells)))
    legend = media.label(media.flow_wheel(_SIZE)[None], "direction of the flow; white: no motion")
    return media.stack_rows([*rows, ("", legend)])[0]


def _mask(
    store: masks.MaskStore, video: int, start: int, frame: np.ndarray, grabcut: bool, crop: str
) -> np.ndarray | None:
    if store.path(video).is_file():
        return masks.fit(store.read(video, start), _SIZE, crop, (0.5, 0.5))
    return masks.grabcut(frame, _POKE_SIZE) if grabcut else None


def _cells(
    frames: np.ndarray, motion: np.ndarray, origin: str, mask: np.ndarray | None
) -> list[tuple[str, media.Pixels]]:
    """Returns the titles and pictures of a row."""
    rng = np.random.default_rng(0)
    first, last = (media.enlarge(frame[None], _SCALE) for frame in frames)
    for background in (*[False] * _POKES, True):
        poke = pokes.draw_poke(motion, _POKE_SIZE, background, rng, mask)
        color = _GROUND if background else _OBJECT
        tail = (np.array(poke.position) + 0.5) * _SCALE
        tip = tail + poke.displacement * _SCALE
        first = media.arrow_between(first, tail, tip, color)
        if not background:
            last = media.target(last, tip, 3.0 * _SCALE, color)
    longest = float(pokes.amplitude_of(motion).max())
    cells = [
        ("start frame and pokes", first),
        ("last frame and targets", last),
        (
            f"flow ({origin}), up to {longest:.1f} of {_SIZE} pixels",
            media.enlarge(media.flow_colors(motion)[None], _SCALE),
        ),
    ]
    if mask is not None:
        gray = frames[0].mean(axis=-1, keepdims=True).astype(np.uint8) // 2 + 127
        cells.append(("mask by GrabCut", media.enlarge(np.where(mask[..., None] != 0, frames[0], gray)[None], _SCALE)))
    pokable, ground = pokes.foreground(motion, _POKE_SIZE, mask), pokes.background(motion, _POKE_SIZE, mask)
    marked = _tinted(_tinted(frames[0], ground, _GROUND), pokable, _OBJECT)
    return [
        *cells,
        (f"{len(pokable)} pixels to poke, {len(ground)} of background", media.enlarge(marked[None], _SCALE)),
    ]


def _tinted(frame: np.ndarray, pixels: np.ndarray, color: media.Color) -> np.ndarray:
    """Returns a frame with half of a color over pixels [N, 2], (x, y)."""
    tinted = frame.copy()
    x, y = pixels.T
    tinted[y, x] = (frame[y, x].astype(int) + color) // 2
    return tinted
