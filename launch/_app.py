"""What every entry point shares: platform set-up, and user errors printed as one line."""

import functools
import pathlib
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from i2v_jax.distributed import runtime
from i2v_jax.errors import UserError


def run(main: Callable[[Sequence[str]], None], takes_arguments: bool = False) -> None:
    """Runs an absl `main`. A UserError becomes one line on standard error and exit status 2; Ctrl-C exits 130.

    `takes_arguments`: what is no option is handed to `main` after the program's name; otherwise it is an error.
    """
    logging.set_verbosity(logging.ERROR)  # what users need to know is said by the program itself
    runtime.configure_platform()
    try:
        app.run(main, flags_parser=functools.partial(_parse_flags, takes_arguments=takes_arguments))
    except UserError as error:  # also those of config files, which are read while flags are parsed
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def shell_command(module: str, *arguments: str) -> str:
    """What runs an entry point, in a shell that knows nothing of the environment that this runs in."""
    interpreter, here = pathlib.Path(sys.executable), pathlib.Path.cwd()
    if interpreter.is_relative_to(here):
        interpreter = interpreter.relative_to(here)
    return shlex.join([str(interpreter), "-m", module, *arguments])


def _parse_flags(argv: Sequence[str], takes_arguments: bool = False) -> list[str]:
    """Raises UserError for a flag that is unknown, missing or of a wrong value, and for a missing config file."""
    try:
        program, *others = flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(f"{_one_line(str(error))} (--help lists the options)") from error
    except (AttributeError, KeyError) as error:  # how ml_collections says that --config.NAME=VALUE names no field
        cause = error.args[0] if isinstance(error, AttributeError) and error.args else error
        if not isinstance(cause, KeyError):
            raise
        raise UserError(f"unknown config field {_one_line(str(cause.args[0]))}") from error
    if others and not takes_arguments:
        raise UserError(f"unexpected arguments {others}: options are given as --name=value")
    if "config" in flags.FLAGS and flags.FLAGS["config"].flag_type() != "string":
        _check_config_was_found()
    return [program, *others]


def _check_config_was_found() -> None:
    """ml_collections complains about a missing file only when the configuration is used."""
    flag: Any = flags.FLAGS["config"]
    if flag.value is None:
        return
    try:
        flag.value.keys()
    except OSError as error:
        path = config_flags.get_config_filename(flag)
        raise UserError(f"no config file {path}: give a file like configs/sky.py") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())
