"""Held-out clips of a model's data set, each with a poke whose answer is known: the clip itself."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.data.protocol import Protocol
from i2v_jax.errors import UserError
from i2v_jax.evaluation.clips import ClipReader, open_clips
from i2v_jax.input import pokes
from i2v_jax.pixels import from_levels

CLIPS = 64  # default number of clips to measure
_LISTED = 4  # clips to look at for each clip that is needed, since some have no motion

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class PokedClips:
    """Held-out clips, each with a poke of something that moves and a pixel of the background.

    Positions and displacements are in pixels at the model's resolution.
    """

    video: Floats  # [N, 1 + T, H, W, 3] in [-1, 1], the start frame first
    position: Floats  # [N, 2], (x, y): a pixel drawn from those that training pokes
    displacement: Floats  # [N, 2]: how far the contents of the pixel have moved in the last frame
    model_displacement: (
        Floats  # [N, 2]: the displacement as the model takes it; an impulse if the model was trained with impulses
    )
    background: Floats  # [N, 2]: a pixel away from all objects, or one that hardly moves
    example_id: NDArray[np.integer]  # [N], index of the clip in the list; of embedded data sets, index of the video


def held_out(data: ConfigDict, count: int, split: str = "test") -> PokedClips:
    """Returns up to `count` different clips of a split in which something moves, each with a poke drawn as in training.

    Clips of `data.frames` frames are taken from all videos in turn, with random starts. If the data set knows its
    motion, flow and objects are exact. Otherwise the flow is the stored one, or estimated by DIS where none was stored,
    and the background is what moves least.

    Args:
        data: the `data` part of the model's configuration, with `data.poke`.
        count: the maximum of N; there are fewer if the split has fewer.
        split: "train", "eval" or "test".

    Raises:
        UserError: the data set was not prepared, no video is long enough, or nothing moves.
    """
    clips = _LISTED * count
    protocol = Protocol("targets", data.frames - 1, False, "random", clips=clips, stride=data.frame_stride)
    reader = open_clips(data, protocol, split)
    first_ids = {clip: example_id for example_id, clip in reversed(list(enumerate(reader.listed.clips)))}
    rows: list[dict[str, np.ndarray]] = []
    for example_id in sorted(first_ids.values()):
        row = _poked(reader, example_id)
        if row is not None:
            rows.append(row)
        if len(rows) == count:
            break
    if not rows:
        raise UserError(
            f"{data.name}/{split}: nothing moves by data.poke.min_motion={data.poke.min_motion} pixels from the first "
            f"to the last frame in any of {len(first_ids)} clips: evaluate on clips with motion",
            "data.poke.min_motion",
            data.poke.min_motion,
        )
    return PokedClips(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def _poked(reader: ClipReader, example_id: int) -> dict[str, np.ndarray] | None:
    """Returns the fields of one clip, or None if nothing moves in it."""
    drawer = reader.pokes
    assert drawer is not None  # the data has pokes
    raw, border = reader.raw_clip(example_id), drawer.settings.poke_size
    flow, mask = drawer.flow(raw), drawer.segmented(drawer.mask(raw), raw.pixels[0])
    if not pokes.moves(flow, border, drawer.settings.min_motion):
        return None
    rng = np.random.default_rng(example_id)
    poke = drawer.draw(flow, mask, rng)
    x, y = poke["poke_position"]
    empty = pokes.background(flow, border, mask)
    return {
        "video": from_levels(raw.pixels),
        "position": np.array([x, y], np.float32),
        "displacement": flow[y, x].astype(np.float32),
        "model_displacement": poke["poke_displacement"],
        "background": empty[rng.integers(len(empty))].astype(np.float32),
        "example_id": np.int64(example_id),
    }
