"""Writes a trained model as one file, which every command takes in place of a work directory.

    python -m launch.bundle --workdir=RUN --out=model.i2v
    python -m launch.bundle --workdir=RUN --checkpoint=best --dtype=bfloat16 --license=MIT --out=model.i2v

The file holds the averaged parameters of the networks that generating needs, the configuration without the folders of
this machine, and a card, which `info` prints.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from i2v_jax import bundle
from i2v_jax.errors import UserError
from i2v_jax.launch import _checkpoint
from i2v_jax.launch._app import run

WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of a trained model, or its file.", required=True)
OUT = flags.DEFINE_string("out", None, f"File to write: NAME{bundle.SUFFIX}.", required=True)
DTYPE = flags.DEFINE_enum(
    "dtype",
    "float32",
    bundle.DTYPES,
    "Type of the stored parameters. For a narrower one than float32, the PSNR of samples against those of float32 is "
    "measured.",
)
NAME = flags.DEFINE_string("name", "", "Name of the model on its card; by default that of the work directory.")
LICENSE = flags.DEFINE_string("license", "", "License of the model on its card; by default that of the data.")
NUMBERS = flags.DEFINE_string(
    "numbers",
    "",
    "JSON file {name: number} of further measurements for the card, such as the "
    "numbers.json of launch.evaluate, whose curves are left out.",
)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.bundling import read_numbers, write_bundle

    if pathlib.PurePath(OUT.value).suffix != bundle.SUFFIX:
        raise UserError(f"--out={OUT.value} must end with {bundle.SUFFIX}", "out", OUT.value)
    numbers = read_numbers(NUMBERS.value) if NUMBERS.value else None
    written = write_bundle(
        WORKDIR.value,
        OUT.value,
        checkpoint=_checkpoint.chosen(),
        dtype=DTYPE.value,
        name=NAME.value,
        license=LICENSE.value,
        numbers=numbers,
    )
    print(written)


if __name__ == "__main__":
    run(main, buckets=("workdir", "out"))
