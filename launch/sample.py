"""Generates videos from still images with a trained model.

    python -m launch.sample --workdir=RUN --image=a.jpg --image=b.jpg --out=DIR --num_samples=8 --frames=48
    python -m launch.sample --workdir=RUN --image=a.jpg --poke=40,60,15,0 --out=DIR

A cINN draws several videos of each image. If it was trained with a control, --direction, --endpoint or --poke sets it.
A poke model has exactly one video for each poke of an image.
"""

from collections.abc import Sequence
from typing import Any, cast

from absl import flags

from i2v_jax.input import images
from i2v_jax.launch import _checkpoint, _poke, _synthesis
from i2v_jax.launch._app import run

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


def main(argv: Sequence[str]) -> None:
    from i2v_jax.sampling.load import is_poke_model
    from i2v_jax.workdir import read_workdir

    config = read_workdir(_synthesis.WORKDIR.value)
    if is_poke_model(config):
        _answer_pokes(config)
    else:
        _draw_samples(config)


def _answer_pokes(config: Any) -> None:
    from i2v_jax.sampling.load import load_poke_synthesizer
    from i2v_jax.tasks.control import NONE

    _synthesis.refuse(
        "num_samples", "seed", "temperature", "chain", why="a poke model has one answer to a poke; leave this out"
    )
    crop, size = _synthesis.CROP.value or config.data.crop, config.data.size
    NONE.request(_synthesis.requested_controls(), size)
    asked = _poke.requested(IMAGE.value, size, crop, impulse=config.data.poke.normalize == "impulse")
    start_frames = _synthesis.read_start_frames(IMAGE.value, size, crop)
    synthesizer = load_poke_synthesizer(_synthesis.WORKDIR.value, progress=True, checkpoint=_checkpoint.chosen())
    _poke.answer(synthesizer, images.unique_names(IMAGE.value), start_frames, asked, FRAMES.value)


def _draw_samples(config: Any) -> None:
    import jax
    import numpy as np

    from i2v_jax.sampling.load import load_synthesizer
    from i2v_jax.sampling.poke_samples import poke_control
    from i2v_jax.sampling.synthesizer import CLIP_FRAMES, Chain
    from i2v_jax.tasks import control as controls

    controlled_by = controls.get(config.control)
    crop, size = _synthesis.CROP.value or config.data.crop, config.data.size
    if not controlled_by.takes_pokes:
        why = f"{_synthesis.WORKDIR.value} was not trained with pokes; train a poke model, for example with "
        _synthesis.refuse("poke", "correlation", "in_turn", why=f"{why}--config=configs/plants.py")
    control = controlled_by.request(_synthesis.requested_controls(), size)
    start_frames = _synthesis.read_start_frames(IMAGE.value, size, crop)
    pokes = _poke.rows(IMAGE.value, start_frames, size, crop) if controlled_by.takes_pokes else []
    named = zip(images.unique_names(IMAGE.value), start_frames, strict=True)
    rows: Sequence[_synthesis.Row] = pokes or [_synthesis.Row(name, frame) for name, frame in named]
    synthesizer = load_synthesizer(_synthesis.WORKDIR.value, progress=True, checkpoint=_checkpoint.chosen())
    if pokes:
        control = poke_control(synthesizer, [row.position for row in pokes], [row.displacement for row in pokes])
    elif control is None and controlled_by.width:
        print(f"no {config.control} given: drawn at random for each sample")
    videos = synthesizer.sample(
        np.stack([row.start_frame for row in rows]),
        jax.random.key(SEED.value),
        NUM_SAMPLES.value,
        frames=FRAMES.value or CLIP_FRAMES,
        temperature=TEMPERATURE.value,
        control=control,
        chain=cast(Chain, CHAIN.value),
    )
    _write(rows, videos, size)


def _write(rows: Sequence[_synthesis.Row], videos: Any, size: int) -> None:
    """Every sample of `videos` [R, S, T, H, W, 3], and all of them as a grid."""
    import numpy as np

    from i2v_jax import media

    output = _synthesis.Output(_synthesis.OUT.value, _synthesis.FPS.value, _synthesis.SCALE.value, size)
    cells, grid_scale = [], max(1, output.scale // 2)
    for row, samples in zip(rows, videos, strict=True):
        still = np.repeat(row.start_frame[None], 1 + videos.shape[2], axis=0)
        wholes = [media.with_start(row.start_frame, video) for video in samples]
        cells += [_synthesis.enlarged(video, grid_scale, row.draw) for video in (still, *wholes)]
        for index, video in enumerate(wholes):
            output.video(f"{row.name}_{index:02d}", video, row.draw)
    output.overview("grid", media.grid(np.stack(cells), columns=1 + videos.shape[1]))


if __name__ == "__main__":
    run(main)
