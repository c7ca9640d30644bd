"""Converts a work directory into checkpoint files for the PyTorch code of the authors.

    python -m launch.export_torch --workdir=RUN --out=DIR

This needs no PyTorch.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from i2v_jax import bundle
from i2v_jax.launch._app import run

WORKDIR = flags.DEFINE_string("workdir", None, "Work directory of a trained model.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the files; must be empty or not exist yet.", required=True)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.sampling.stages import load_stages
    from i2v_jax.torch_interop.releases import registry
    from i2v_jax.workdir import read_workdir

    bundle.require_folder(WORKDIR.value, "the code of the authors wants networks that it does not hold")
    config = read_workdir(WORKDIR.value)
    out = pathlib.Path(OUT.value).expanduser().absolute()
    release = registry.of_config(config)
    for name, keys in release.write_release(config, load_stages(config, WORKDIR.value), out).items():
        print(f"wrote {out / name}: {keys} keys")


if __name__ == "__main__":
    run(main, buckets=("workdir",))
