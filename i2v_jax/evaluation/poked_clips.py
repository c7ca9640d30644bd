"""Held-out clips of a model's own data set, each with a poke whose answer is known: the clip itself."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from i2v_jax.data.protocol import Protocol
from i2v_jax.errors import UserError
from i2v_jax.evaluation.clips import ClipReader, open_clips
from i2v_jax.input import pokes, transforms

CLIPS = 64  # that numbers come from unless told otherwise
_LOOKED_AT = 4  # times as many clips as are wanted, in search of motion

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True)
class PokedClips:
    """Held-out clips, what moves far in them, and a place of their background. Pixels at the model's resolution."""

    video: Floats  # [N, 1 + T, H, W, 3] in [-1, 1], the start frame first
    position: Floats  # [N, 2] as (x, y): a pixel drawn among those that training would poke
    displacement: Floats  # [N, 2]: how far what it shows has gone in the last frame
    told: Floats  # [N, 2]: the displacement as training would say it, an impulse where models are trained with those
    background: Floats  # [N, 2]: a pixel away from all objects, or one that hardly moves
    number: NDArray[np.integer]  # [N], of the clip among those listed; of `plants` that of the scene


def held_out(data: ConfigDict, count: int, split: str = "test") -> PokedClips:
    """At most `count` different clips of a split in which something moves, each with a poke drawn as in training.

    Clips of `data.frames` frames are taken from all videos in turn, at random places. Motion and objects are exact on
    `plants`; elsewhere the motion is DIS flow, and the background what moves least.

    Args:
        data: of the model's configuration, with `data.poke`.
        count: N at most; fewer where the split has no more.
        split: "train", "eval" or "test".

    Raises:
        UserError: the data is missing, no video is long enough, or nothing moves.
    """
    candidates = _LOOKED_AT * count
    protocol = Protocol("targets", data.frames - 1, False, "random", clips=candidates, stride=data.frame_stride)
    reader = open_clips(data, protocol, split)
    different = {clip: number for number, clip in reversed(list(enumerate(reader.listed.clips)))}
    rows: list[dict[str, np.ndarray]] = []
    for number in sorted(different.values()):
        row = _poked(reader, number)
        if row is not None:
            rows.append(row)
        if len(rows) == count:
            break
    if not rows:
        raise UserError(
            f"{data.name}/{split}: in none of {len(different)} clips does anything move by {data.poke.min_motion} "
            "pixels from first to last frame: there is nothing to measure answers by"
        )
    return PokedClips(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def _poked(reader: ClipReader, number: int) -> dict[str, np.ndarray] | None:
    """The fields of one clip; None where nothing moves."""
    drawer = reader.pokes
    assert drawer is not None  # the data has pokes
    cut, border = reader.cut(number), drawer.settings.poke_size
    flow, mask = drawer.flow(cut), drawer.mask(cut)
    if not pokes.moves(flow, border, drawer.settings.min_motion):
        return None
    rng = np.random.default_rng(number)
    poke = drawer.draw(flow, mask, drawer.impulse(cut), rng)
    x, y = poke["poke_position"]
    empty = pokes.background(flow, border, mask)
    return {
        "video": transforms.to_float(cut.pixels),
        "position": np.array([x, y], np.float32),
        "displacement": flow[y, x].astype(np.float32),
        "told": poke["poke_displacement"],
        "background": empty[rng.integers(len(empty))].astype(np.float32),
        "number": np.int64(number),
    }
