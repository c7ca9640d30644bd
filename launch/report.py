"""Compares the evaluations of several models with each other and with published numbers.

    python -m launch.report RUN1 RUN2 --out=DIR

Each RUN is a work directory that was evaluated, the file of a model whose card has results, or the folder of a sweep.
Writes comparison.md, index.html and curves. Results under different protocols get separate tables, which name the
fields that differ. A sweep also gets a table of its runs: how far they are, and the held-out metrics of their last
stage.
"""

from collections.abc import Sequence

from absl import flags

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.launch._app import run

OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)


def main(argv: Sequence[str]) -> None:
    from i2v_jax.reports.comparison import compare_runs, read_runs, write_comparison
    from i2v_jax.reports.sweep_table import sweep_tables

    if len(argv) < 2:
        raise UserError(f"no work directories were given: give some that were evaluated with {command('evaluate')}")
    folder = files.location(OUT.value)
    print(write_comparison(compare_runs(read_runs(argv[1:])), folder, sweep_tables(argv[1:])))
    print(f"wrote {folder / 'comparison.md'}, {folder / 'index.html'}")


if __name__ == "__main__":
    run(main, positional="RUN ...", buckets=("", "out"))
