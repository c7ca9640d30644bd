"""Converts a model released by the authors (PyTorch) into a work directory.

    python -m launch.import_torch --kind=cinn --stage1=DIR --ae=DIR --stage2=DIR --workdir=RUN
    python -m launch.import_torch --kind=poke --checkpoint=FILE --config=FILE --workdir=RUN

The work directory can be sampled, evaluated and trained further like any other. This needs no PyTorch, and runs no code
that a file may contain.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.launch._app import run

KIND = flags.DEFINE_enum("kind", None, ["cinn", "poke"], "Release that the model belongs to.", required=True)
STAGE1 = flags.DEFINE_string(
    "stage1", None, "--kind=cinn: folder with config_stage1.yaml, best_PFVD_ENC.pth and best_PFVD_GEN.pth."
)
AE = flags.DEFINE_string("ae", None, "--kind=cinn: folder with config_stage2_AE.yaml and encoder_stage2.pth.")
STAGE2 = flags.DEFINE_string("stage2", None, "--kind=cinn: folder with config_stage2.yaml and cINN.pth.")
CHECKPOINT = flags.DEFINE_string("checkpoint", None, "--kind=poke: the file reg_ckpt_checkpoint_N.pt.")
CONFIG = flags.DEFINE_string("config", None, "--kind=poke: the file config.yaml.")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Work directory to write; must be empty or not exist yet.", required=True
)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.torch_interop.releases import cinn, poke, release
    from i2v_jax.training.run import next_command

    if KIND.value == "cinn":
        imported = cinn.read_release(cinn.Folders(*(_path(flag) for flag in (STAGE1, AE, STAGE2))))
    else:
        imported = poke.read_release(_path(CHECKPOINT), _path(CONFIG))
    release.write_workdir(imported, pathlib.Path(WORKDIR.value))
    print(imported.summary())
    print(f"wrote {WORKDIR.value}; every key is in {WORKDIR.value}/parity.txt")
    print(f"sample:   {next_command(imported.config, WORKDIR.value)}")
    again = (*imported.preset.options(imported.config), f"--workdir={WORKDIR.value}", "--config.data.dir=PREPARED")
    print(f"continue training: {command('train', *again)}")


def _path(flag: flags.FlagHolder) -> pathlib.Path:
    if flag.value is None:
        raise UserError(f"--{flag.name} is missing: --kind={KIND.value} needs it", flag.name)
    return pathlib.Path(flag.value).expanduser()


if __name__ == "__main__":
    run(main)
