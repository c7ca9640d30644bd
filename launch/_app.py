"""What every entry point shares: help, platform set-up, flag parsing, and user errors printed as one line."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from i2v_jax import logs
from i2v_jax.distributed import runtime
from i2v_jax.errors import UserError
from i2v_jax.launch import _help


def run(main: Callable[[Sequence[str]], None], positional: str = "") -> None:
    """Runs an absl `main` and exits: with 0, with 2 after a UserError, which is printed as one line, or with 130 after
    Ctrl-C.

    Args:
      main: called with the program's name and the positional arguments.
      positional: what the positional arguments are called in the help; when empty, they are an error.
    """
    if _help.is_requested(sys.argv):
        print(_help.text(main.__globals__["__doc__"], sys.argv[0], positional))
        return
    logging.set_verbosity(logging.ERROR)  # the program itself prints what users need to know
    logs.show()
    runtime.configure_platform()
    try:
        app.run(main, flags_parser=functools.partial(_parse_flags, takes_positional=bool(positional)))
    except UserError as error:  # includes those of config files, which are read while flags are parsed
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _parse_flags(argv: Sequence[str], takes_positional: bool) -> list[str]:
    """Returns the program's name and the positional arguments.

    Raises:
      UserError: for a flag that is unknown, missing or has a wrong value, and for a config file that does not exist.
    """
    try:
        program, *others = flags.FLAGS(argv)
    except SystemExit:  # absl printed the help that --helpfull asks for; it exits with 1
        sys.exit(0)
    except flags.Error as error:
        missing = _missing_flag() if flags.FLAGS.is_parsed() else ""  # it is, when only a validator failed
        raise UserError(f"{missing or _one_line(str(error))} (--help lists the flags)") from error
    except (AttributeError, KeyError) as error:  # raised by ml_collections when --config.NAME=VALUE names no field
        cause = error.args[0] if isinstance(error, AttributeError) and error.args else error
        if not isinstance(cause, KeyError):
            raise
        raise UserError(f"unknown config field {_one_line(str(cause.args[0]))}") from error
    if others and not takes_positional:
        raise UserError(f"unexpected arguments {others}: flags are given as --name=value")
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


def _missing_flag() -> str:
    """Returns the message for the first required flag that was not given, or nothing."""
    missing = [flag for flag in _help.own_flags(sys.argv[0]) if _help.is_required(flag) and flag.value is None]
    return f"--{missing[0].name} is missing: {_one_line(missing[0].help)}" if missing else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
