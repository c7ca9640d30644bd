"""Trains a model.

    python -m launch.train --config=configs/sky.py:demo --workdir=runs/sky
    python -m launch.train --config=configs/bair.py --workdir=runs/bair --config.data.dir=PREPARED

The stages of a model are trained in order. The same command continues a run that was interrupted.
"""

from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from i2v_jax.launch._app import run

CONFIG = config_flags.DEFINE_config_file("config", help_string="Config file, with its arguments after a colon.")
flags.mark_flag_as_required("config")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for checkpoints, logs and previews. Training continues from what is there.", required=True
)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.distributed import runtime
    from i2v_jax.training.run import train_stages

    runtime.initialize_distributed()
    train_stages(CONFIG.value, WORKDIR.value)


if __name__ == "__main__":
    run(main)
