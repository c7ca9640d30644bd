"""Exports the sampler of a trained model as one file that needs only jax, flatbuffers and NumPy to run.

    python -m launch.export --workdir=RUN --out=model.bin --platforms=cpu,cuda --num_samples=8 --frames=48

Prints the Python code that loads and calls the file.
"""

import pathlib
from collections.abc import Sequence
from typing import cast

from absl import flags

from i2v_jax.launch import _checkpoint
from i2v_jax.launch._app import run

WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of a trained model, or its file.", required=True)
OUT = flags.DEFINE_string("out", None, "File to write.", required=True)
PLATFORMS = flags.DEFINE_list("platforms", ["cpu", "cuda", "tpu"], "Platforms on which the file runs.")
NUM_SAMPLES = flags.DEFINE_integer("num_samples", 1, "Videos per image.", lower_bound=1)
FRAMES = flags.DEFINE_integer(
    "frames", None, "Length of a video; by default as in training. Longer ones are extended.", lower_bound=1
)
TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Standard deviation of the residual; with 0 all videos of an image are the same.", lower_bound=0
)
CHAIN = flags.DEFINE_enum(
    "chain", "same_z", ["same_z", "fresh"], "Motion of the parts after the first 16 frames: the same, or drawn anew."
)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.sampling import export
    from i2v_jax.sampling.generator import Chain
    from i2v_jax.sampling.load import load_generator

    out = pathlib.Path(OUT.value)
    generator = load_generator(WORKDIR.value, checkpoint=_checkpoint.chosen())
    chain = cast(Chain, CHAIN.value)
    exported = export.export_sampler(
        generator, PLATFORMS.value, NUM_SAMPLES.value, FRAMES.value, TEMPERATURE.value, chain
    )
    export.write(exported, out)
    print(f"wrote {out}: {out.stat().st_size / 2**20:.1f} MiB for {', '.join(exported.platforms)}")
    print(export.example(out, generator))


if __name__ == "__main__":
    run(main, buckets=("workdir",))
