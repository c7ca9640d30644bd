"""Writes a page about trainings: progress, curves, throughput, previews, configuration and events.

    python -m launch.dashboard RUN
    python -m launch.dashboard RUN1 RUN2 --out=PAGE.html

Each RUN is a work directory, also of a training that is still running; several are shown side by side. The page is one
file that loads nothing else.
"""

from collections.abc import Sequence

from absl import flags

from i2v_jax import files
from i2v_jax.commands import command
from i2v_jax.errors import UserError
from i2v_jax.launch._app import run

OUT = flags.DEFINE_string("out", "dashboard.html", "File to write.")


def main(argv: Sequence[str]) -> None:
    from i2v_jax.reports.dashboard import write_dashboard

    if len(argv) < 2:
        raise UserError(f"no work directories were given: give some that {command('train')} made")
    write_dashboard(argv[1:], files.location(OUT.value))
    print(f"wrote {OUT.value}")


if __name__ == "__main__":
    run(main, positional="RUN ...", buckets=("", "out"))
