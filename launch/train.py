"""Trains a model.

    python -m launch.train --config=sky:demo --workdir=runs/sky
    python -m launch.train --config=bair --workdir=runs/bair --config.data.dir=PREPARED

The stages of a model are trained in order. The same command continues a run that was interrupted. `--print_config`
shows all fields and where their values come from, and trains nothing.

It ends with status 0 when everything is trained, 75 when SIGTERM or Ctrl-C stopped it and the same command continues, 2
for a mistake that it names in one line, and 1 after a crash.
"""

from collections.abc import Sequence

from absl import flags

from i2v_jax.launch import _processes
from i2v_jax.launch._app import run
from i2v_jax.training.interrupt import INTERRUPTED, Interruption

CONFIG = flags.DEFINE_string(
    "config", None, "CONFIG: name of a config or a config file, with its arguments after a colon.", required=True
)
FIELDS = flags.DEFINE_multi_string("config.", [], "Sets a field of the configuration, as --config.train.keep=3.")
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder for checkpoints, logs and previews; needed to train. Continues from what is there.",
)
PROFILE_STEPS = flags.DEFINE_string(
    "profile_steps",
    None,
    "Steps of each stage to trace, as 10:15, counted from the first step of this command. The trace is written into "
    "RUN/STAGE/profile.",
)
PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "Print all fields and where their values come from, and exit.")


def main(argv: Sequence[str], interruption: Interruption) -> int:
    from i2v_jax import config_files
    from i2v_jax.errors import UserError
    from i2v_jax.logs import logger
    from i2v_jax.training.profile import parse_steps
    from i2v_jax.training.run import next_command, train_stages

    if PRINT_CONFIG.value:
        print(config_files.explain(CONFIG.value, FIELDS.value))
        return 0
    if WORKDIR.value is None:
        raise UserError("--workdir is missing: give the folder to train in", "workdir")
    profile_steps = parse_steps(PROFILE_STEPS.value) if PROFILE_STEPS.value is not None else range(0)
    resolved = config_files.load(CONFIG.value, FIELDS.value)
    with _processes.joined(interruption):
        if not train_stages(resolved, WORKDIR.value, interruption, profile_steps):
            return INTERRUPTED
        if following := next_command(resolved, WORKDIR.value):
            logger.info(f"next: {following}")
    return 0


if __name__ == "__main__":
    run(main, buckets=("workdir", "config.data.dir", "config.compile_cache"), resumes=True)
