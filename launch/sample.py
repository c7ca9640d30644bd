"""Turns still images into many videos, directed if the model was trained with control.

python -m launch.sample --workdir=RUN --image=a.jpg [--image=b.jpg] --out=DIR [--num_samples=8 --frames=48]
"""

from collections.abc import Sequence
from typing import cast

from absl import flags

from launch import _synthesis
from launch._app import run

IMAGE = flags.DEFINE_multi_string("image", None, "A start frame; may be given several times.", required=True)
NUM_SAMPLES = flags.DEFINE_integer("num_samples", 8, "Videos for each image.", lower_bound=1)
FRAMES = flags.DEFINE_integer("frames", 16, "Length; beyond 16 the last frame starts the next part.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Another seed gives other videos.")
TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "Spread of the residual: 0 is the same video.", lower_bound=0)
CHAIN = flags.DEFINE_enum(
    "chain", "same_z", ["same_z", "fresh"], "Parts after the first: the same motion, or a new one."
)


def main(argv: Sequence[str]) -> None:
    import jax
    import numpy as np

    from i2v_jax import media
    from i2v_jax.config import read_workdir
    from i2v_jax.sampling.load import load_synthesizer
    from i2v_jax.sampling.synthesizer import Chain

    config = read_workdir(_synthesis.WORKDIR.value)
    control = _synthesis.requested_control(config.control, _synthesis.DIRECTION.value, _synthesis.ENDPOINT.value)
    crop = _synthesis.CROP.value or config.data.crop
    start_frames = _synthesis.read_start_frames(IMAGE.value, config.data.size, crop)
    synthesizer = load_synthesizer(_synthesis.WORKDIR.value, progress=True)
    if control is None and config.control != "none":
        print(f"no --{config.control} given: drawn at random for each sample")
    videos = synthesizer.sample(
        start_frames,
        jax.random.key(SEED.value),
        NUM_SAMPLES.value,
        frames=FRAMES.value,
        temperature=TEMPERATURE.value,
        control=control,
        chain=cast(Chain, CHAIN.value),
    )
    output = _synthesis.Output(_synthesis.OUT.value, _synthesis.FPS.value, _synthesis.SCALE.value, synthesizer.size)
    cells = []
    for name, start_frame, samples in zip(_synthesis.unique_names(IMAGE.value), start_frames, videos, strict=True):
        cells.append(np.repeat(start_frame[None], 1 + FRAMES.value, axis=0))
        for index, video in enumerate(samples):
            cells.append(_synthesis.with_start(start_frame, video))
            output.video(f"{name}_{index:02d}", cells[-1])
    grid_scale = max(1, output.scale // 2)
    output.overview("grid", media.grid(media.enlarge(np.stack(cells), grid_scale), columns=1 + NUM_SAMPLES.value))


if __name__ == "__main__":
    run(main)
