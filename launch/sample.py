"""Generates videos from still images with a trained model.

    python -m launch.sample --workdir=RUN --image=a.jpg --image=b.jpg --out=DIR --num_samples=8 --frames=48
    python -m launch.sample --workdir=RUN --image=a.jpg --poke=40,60,15,0 --out=DIR

A cINN draws several videos of each image. If it was trained with a control, --direction, --endpoint or --poke sets it.
A poke model has exactly one video for each poke of an image.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from absl import flags

from i2v_jax.launch import _checkpoint, _poke, _synthesis
from i2v_jax.launch._app import run
from i2v_jax.media.paths import unique_names

if TYPE_CHECKING:
    from i2v_jax.sampling.generator import Chain, Description

IMAGE = flags.DEFINE_multi_string("image", None, "Image file: the start frame.", required=True)
NUM_SAMPLES = flags.DEFINE_integer("num_samples", 8, "Videos per image.", lower_bound=1)
FRAMES = flags.DEFINE_integer(
    "frames",
    None,
    "Length of a video; by default as in training. A cINN extends longer videos from their last frame.",
    lower_bound=1,
)
SEED = flags.DEFINE_integer("seed", 0, "Random seed: another seed gives other videos.")
TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Standard deviation of the residual; with 0 all videos of an image are the same.", lower_bound=0
)
CHAIN = flags.DEFINE_enum(
    "chain", "same_z", ["same_z", "fresh"], "Motion of the parts after the first 16 frames: the same, or drawn anew."
)

FLOW = flags.DEFINE_bool("flow", False, "Write NAME_flow.png: frames of each video and its optical flow, as colors.")


def main(argv: Sequence[str]) -> None:
    import jax
    import numpy as np

    from i2v_jax.sampling.load import describe, load_generator
    from i2v_jax.tasks.control import NONE
    from i2v_jax.workdir import read_workdir

    config = read_workdir(_synthesis.WORKDIR.value)
    about, crop = describe(config), _synthesis.CROP.value or config.data.crop
    _refuse_flags(about)
    control = (NONE if about.pokes else about.control).request(_synthesis.requested_controls(), about.size)
    start_frames = _synthesis.read_start_frames(IMAGE.value, about.size, crop, config.data.resize)
    poked = _poke.requested(IMAGE.value, start_frames, about, crop) if about.pokes else []
    named = zip(unique_names(IMAGE.value), start_frames, strict=True)
    pokes = [row for image in poked for row in image.rows()]
    rows: Sequence[_synthesis.Row] = pokes if about.pokes else [_synthesis.Row(*pair) for pair in named]
    output = _synthesis.Output(about.size)

    generator: Any = load_generator(
        _synthesis.WORKDIR.value, checkpoint=_checkpoint.chosen(), progress=True, quick=_are_few(rows, about)
    )
    if about.pokes:
        for image in poked:
            _poke.write_correlations(generator, output, image)
            if pokes and _poke.IN_TURN.value:
                _poke.write_in_turn(generator, output, image, FRAMES.value)
        if not pokes or _poke.IN_TURN.value:
            return
        pairs = [(row.position, row.displacement) for row in pokes]
        control = generator.encode_pokes(*zip(*pairs, strict=True))
    elif control is None and about.control.width:
        print(f"no {about.control.name} given: drawn at random for each sample")
    videos = generator.generate(
        np.stack([row.start_frame for row in rows]),
        jax.random.key(SEED.value),
        1 if about.deterministic else NUM_SAMPLES.value,
        frames=FRAMES.value,
        temperature=TEMPERATURE.value,
        control=control,
        chain=cast("Chain", CHAIN.value),
    )
    _write(output, rows, videos, about)


def _refuse_flags(about: "Description") -> None:
    """Raises UserError for flags that have no effect on the model."""
    if about.deterministic:
        why = "the poke model has one answer to a poke: leave this out"
        _synthesis.refuse("num_samples", "seed", "temperature", "chain", why=why)
    if _poke.IN_TURN.value:
        _synthesis.refuse("flow", why="--in_turn writes one video of several pokes: leave this out")
    if not about.pokes:
        why = f"{_synthesis.WORKDIR.value} was not trained with pokes; train a poke model, for example with "
        _synthesis.refuse("poke", "correlation", "in_turn", why=f"{why}--config=configs/plants.py")


def _are_few(rows: Sequence[_synthesis.Row], about: "Description") -> bool:
    """Returns whether so few videos are requested that optimizing the programs would take longer than it saves."""
    from i2v_jax.sampling.generator import FEW

    samples = 1 if about.deterministic else NUM_SAMPLES.value
    parts = math.ceil((FRAMES.value or about.frames) / about.frames)
    return not _poke.CORRELATION.value and len(rows) * samples * parts <= FEW


def _write(output: _synthesis.Output, rows: Sequence[_synthesis.Row], videos: Any, about: "Description") -> None:
    """Writes every sample of `videos` [R, S, T, H, W, 3], and for a model that samples, a grid of them."""
    import numpy as np

    from i2v_jax import media

    cells, grid_scale = [], max(1, output.scale // 2)
    for row, samples in zip(rows, videos, strict=True):
        wholes = [media.with_start(row.start_frame, video) for video in samples]
        for index, video in enumerate(wholes):
            output.video(row.name if about.deterministic else f"{row.name}_{index:02d}", video, row.draw)
        if FLOW.value:
            output.flow(row.name, np.stack(wholes), row.draw)
        still = np.repeat(row.start_frame[None], 1 + videos.shape[2], axis=0)
        cells += [_synthesis.enlarged(video, grid_scale, row.draw) for video in (still, *wholes)]
    if not about.deterministic:
        output.overview("grid", media.grid(np.stack(cells), columns=1 + videos.shape[1]))


if __name__ == "__main__":
    run(main, buckets=("workdir", "out"))
