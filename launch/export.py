"""Writes the sampler of a trained model as one file that runs with jax, flatbuffers and NumPy alone.

python -m launch.export --workdir=RUN --out=model.bin [--platforms=cpu,cuda,tpu --num_samples=8 --frames=48]
"""

import pathlib
from collections.abc import Sequence
from typing import cast

from absl import flags

from i2v_jax.launch import _checkpoint
from i2v_jax.launch._app import run

WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of a trained model.", required=True)
OUT = flags.DEFINE_string("out", None, "The file to write.", required=True)
PLATFORMS = flags.DEFINE_list("platforms", ["cpu", "cuda", "tpu"], "Where it can run: cpu, cuda, tpu.")
NUM_SAMPLES = flags.DEFINE_integer("num_samples", 1, "Videos for each image.", lower_bound=1)
FRAMES = flags.DEFINE_integer("frames", 16, "Length; beyond 16 the last frame starts the next part.", lower_bound=1)
TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "Spread of the residual: 0 is the same video.", lower_bound=0)
CHAIN = flags.DEFINE_enum(
    "chain", "same_z", ["same_z", "fresh"], "Parts after the first: the same motion, or a new one."
)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.sampling import export
    from i2v_jax.sampling.load import load_synthesizer
    from i2v_jax.sampling.synthesizer import Chain

    synthesizer, out = load_synthesizer(WORKDIR.value, checkpoint=_checkpoint.chosen()), pathlib.Path(OUT.value)
    chain = cast(Chain, CHAIN.value)
    exported = export.export_sampler(
        synthesizer, PLATFORMS.value, NUM_SAMPLES.value, FRAMES.value, TEMPERATURE.value, chain
    )
    export.write(exported, out)
    print(f"wrote {out}: {out.stat().st_size / 2**20:.1f} MiB for {', '.join(exported.platforms)}")
    print(export.example(out, synthesizer))


if __name__ == "__main__":
    run(main)
