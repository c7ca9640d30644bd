"""Turns still images into videos: what the work directory holds decides how.

A cINN draws many videos of each image, directed if it was trained with control:

python -m launch.sample --workdir=RUN --image=a.jpg [--image=b.jpg] --out=DIR [--num_samples=8 --frames=48]

A poke model answers to pokes:

python -m launch.sample --workdir=RUN --image=a.jpg --poke=x,y,dx,dy [--poke=...] --out=DIR [--correlation=x,y]
"""

from collections.abc import Sequence
from typing import Any, cast

from absl import flags

from i2v_jax.errors import UserError
from i2v_jax.sampling.controls import requested_control
from launch import _poke, _synthesis
from launch._app import run

IMAGE = flags.DEFINE_multi_string("image", None, "A start frame; may be given several times.", required=True)
NUM_SAMPLES = flags.DEFINE_integer("num_samples", 8, "Videos for each image.", lower_bound=1)
FRAMES = flags.DEFINE_integer(
    "frames",
    None,
    "Length; by default that of training. A cINN goes on from its last frame.",
    lower_bound=1,
)
SEED = flags.DEFINE_integer("seed", 0, "Another seed gives other videos.")
TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "Spread of the residual: 0 is the same video.", lower_bound=0)
CHAIN = flags.DEFINE_enum(
    "chain", "same_z", ["same_z", "fresh"], "Parts after the first: the same motion, or a new one."
)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.config import read_workdir
    from i2v_jax.sampling.load import is_poke_model

    config = read_workdir(_synthesis.WORKDIR.value)
    if is_poke_model(config):
        _answer_pokes(config)
    else:
        _draw_samples(config)


def _answer_pokes(config: Any) -> None:
    from i2v_jax.sampling.load import load_poke_synthesizer

    requested_control("none", _synthesis.DIRECTION.value, _synthesis.ENDPOINT.value)
    crop, size = _synthesis.CROP.value or config.data.crop, config.data.size
    asked = _poke.requested(IMAGE.value, size, crop, impulse=config.data.poke.normalize == "impulse")
    start_frames = _synthesis.read_start_frames(IMAGE.value, size, crop)
    synthesizer = load_poke_synthesizer(_synthesis.WORKDIR.value, progress=True)
    _poke.answer(synthesizer, _synthesis.unique_names(IMAGE.value), start_frames, asked, FRAMES.value)


def _draw_samples(config: Any) -> None:
    import jax
    import numpy as np

    from i2v_jax import media
    from i2v_jax.sampling.load import load_synthesizer
    from i2v_jax.sampling.synthesizer import CLIP_FRAMES, Chain

    if _poke.POKE.value or _poke.CORRELATION.value:
        raise UserError(
            f"--poke, --correlation: {_synthesis.WORKDIR.value} was not trained with pokes; train a poke model, "
            "for example with --config=configs/plants.py"
        )
    control = requested_control(config.control, _synthesis.DIRECTION.value, _synthesis.ENDPOINT.value)
    crop, frames = _synthesis.CROP.value or config.data.crop, FRAMES.value or CLIP_FRAMES
    start_frames = _synthesis.read_start_frames(IMAGE.value, config.data.size, crop)
    synthesizer = load_synthesizer(_synthesis.WORKDIR.value, progress=True)
    if control is None and config.control != "none":
        print(f"no --{config.control} given: drawn at random for each sample")
    videos = synthesizer.sample(
        start_frames,
        jax.random.key(SEED.value),
        NUM_SAMPLES.value,
        frames=frames,
        temperature=TEMPERATURE.value,
        control=control,
        chain=cast(Chain, CHAIN.value),
    )
    output = _synthesis.Output(_synthesis.OUT.value, _synthesis.FPS.value, _synthesis.SCALE.value, synthesizer.size)
    cells = []
    for name, start_frame, samples in zip(_synthesis.unique_names(IMAGE.value), start_frames, videos, strict=True):
        cells.append(np.repeat(start_frame[None], 1 + frames, axis=0))
        for index, video in enumerate(samples):
            cells.append(_synthesis.with_start(start_frame, video))
            output.video(f"{name}_{index:02d}", cells[-1])
    grid_scale = max(1, output.scale // 2)
    output.overview("grid", media.grid(media.enlarge(np.stack(cells), grid_scale), columns=1 + NUM_SAMPLES.value))


if __name__ == "__main__":
    run(main)
