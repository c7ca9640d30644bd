"""Plans a sweep: one training per combination of values of some fields.

    python -m launch.sweep --config=sky:demo --workdir=SWEEP --sweep.seed=0,1,2 --sweep.train.ema=0,0.999
    sbatch --array=0-5 --gpus=1 launch/slurm/train.sbatch --flagfile=SWEEP/%a.flags
    python -m launch.report SWEEP --out=OUT

Writes the table of runs, SWEEP/sweep.json, and the arguments of run N for training, SWEEP/N.flags, and trains nothing.
Values that have commas are separated by semicolons. The report gathers the results of all runs.
"""

import shlex
from collections.abc import Sequence

from absl import flags

from i2v_jax.commands import command
from i2v_jax.launch._app import run

CONFIG = flags.DEFINE_string(
    "config", None, "CONFIG: name of a config or a config file, with its arguments after a colon.", required=True
)
FIELDS = flags.DEFINE_multi_string("config.", [], "Sets a field of all configurations, as --config.train.keep=3.")
SWEPT = flags.DEFINE_multi_string("sweep.", [], "Gives a field several values, as --sweep.seed=0,1,2.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the sweep: it holds the work directories.", required=True)


def main(argv: Sequence[str]) -> None:
    del argv
    from i2v_jax import sweeps
    from i2v_jax.reports.page import Table

    swept = dict(item.partition("=")[::2] for item in SWEPT.value)
    runs = sweeps.plan(CONFIG.value, FIELDS.value, swept)
    sweeps.write(WORKDIR.value, CONFIG.value, FIELDS.value, runs)
    rows = tuple((str(number), *run.values.values(), run.name) for number, run in enumerate(runs))
    print(Table(("run", *swept, "work directory"), rows).markdown())

    def flagfile(name: str) -> str:
        return f"--flagfile={WORKDIR.value}/{name}.flags"

    print(f"\nrun N: {command('train', flagfile('N'))}")
    array = f"--array=0-{len(runs) - 1} --gpus=1"
    print(f"all: sbatch {array} launch/slurm/train.sbatch {shlex.quote(flagfile('%a'))}")
    print(f"then: {command('report', WORKDIR.value, '--out=OUT')}")


if __name__ == "__main__":
    run(main, buckets=("workdir",))
