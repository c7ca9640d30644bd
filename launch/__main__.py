"""The command `i2v`: runs the entry points as `i2v NAME`.

In a checkout, `python -m launch NAME` and `python -m launch.NAME` do the same.
"""

import pathlib
import runpy
import sys

import i2v_jax
from i2v_jax.commands import as_typed
from i2v_jax.launch import _help, _output

COMMANDS = (
    "prepare",
    "plan",
    "train",
    "local_cluster",
    "sample",
    "transfer",
    "evaluate",
    "report",
    "dashboard",
    "sweep",
    "gke",
    "serve",
    "export",
    "bundle",
    "info",
    "demo",
    "tryout",
    "weights",
    "import_torch",
    "export_torch",
)


@_output.written()
def main() -> None:
    """Runs the entry point that the first argument names, with the arguments after it."""
    match sys.argv[1:]:
        case [name, *arguments] if name in COMMANDS:
            sys.argv = [sys.argv[0], *arguments]
            runpy.run_module(f"i2v_jax.launch.{name}", run_name="__main__")
        case [] | ["--help" | "-h" | "help"]:
            print(overview())
        case ["--version"]:
            print(i2v_jax.__version__)
        case [name, *_]:
            print(f"error: unknown command {name!r}: choose one of {', '.join(COMMANDS)}", file=sys.stderr)
            sys.exit(2)


def overview() -> str:
    """Returns one line for each command: its name and what it does."""
    folder = pathlib.Path(__file__).parent
    rows = [f"  {name:14s} {_help.first_line(folder / f'{name}.py')}" for name in COMMANDS]
    return "\n".join(
        ["Image-to-video synthesis in JAX.", "", *rows, "", as_typed("python -m launch.NAME --help lists the flags.")]
    )


if __name__ == "__main__":
    main()
