"""Makes a work directory of a model of the authors, which samples, evaluates and trains on like one of ours.

python -m launch.import_torch --kind=cinn --stage1=DIR --ae=DIR --stage2=DIR --workdir=RUN

The folders are those of the release; no PyTorch is needed, and no code that a file may carry is run.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from i2v_jax.errors import UserError
from launch._app import run

KIND = flags.DEFINE_enum("kind", None, ["cinn"], "Which release the model is of.", required=True)
STAGE1 = flags.DEFINE_string("stage1", None, "Folder of config_stage1.yaml and best_PFVD_{ENC,GEN}.pth.")
AE = flags.DEFINE_string("ae", None, "Folder of config_stage2_AE.yaml and encoder_stage2.pth.")
STAGE2 = flags.DEFINE_string("stage2", None, "Folder of config_stage2.yaml and cINN.pth.")
WORKDIR = flags.DEFINE_string("workdir", None, "Work directory to make; must not exist, or be empty.", required=True)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.exchange import cinn, release

    imported = cinn.read_release(cinn.Folders(*(_folder(flag) for flag in (STAGE1, AE, STAGE2))))
    release.write_workdir(imported, pathlib.Path(WORKDIR.value))
    print(imported.summary())
    print(f"wrote {WORKDIR.value}; every key is in {WORKDIR.value}/parity.txt")
    print(f"sample:   python -m launch.sample --workdir={WORKDIR.value} --image=a.jpg --out=DIR")
    command = f"python -m launch.train --config='{imported.preset.reaching(imported.config)}'"
    print(f"train on: {command} --workdir={WORKDIR.value} --config.data.dir=PREPARED")


def _folder(flag: flags.FlagHolder) -> pathlib.Path:
    if flag.value is None:
        raise UserError(f"--{flag.name} is missing: --kind={KIND.value} needs it")
    return pathlib.Path(flag.value).expanduser()


if __name__ == "__main__":
    run(main)
