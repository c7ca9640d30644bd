"""What every entry point shares: help, platform set-up, flag parsing, and user errors printed as one line."""

import functools
import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

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
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _parse_flags(argv: Sequence[str], takes_positional: bool) -> list[str]:
    """Returns the program's name and the positional arguments.

    Raises:
      UserError: for a flag that is unknown, missing or has a wrong value.
    """
    # All --config.FIELD=VALUE, which set fields of the configuration, are values of one flag, "config.".
    argv = [re.sub(r"^--?config\.(?!=)", "--config.=", argument) for argument in argv]
    try:
        program, *others = flags.FLAGS(argv)
    except SystemExit:  # absl printed the help that --helpfull asks for; it exits with 1
        sys.exit(0)
    except flags.Error as error:
        missing = _missing_flag() if flags.FLAGS.is_parsed() else ""  # it is, when only a validator failed
        raise UserError(f"{missing or _one_line(str(error))} (--help lists the flags)") from error
    if others and not takes_positional:
        raise UserError(f"unexpected arguments {others}: flags are given as --name=value")
    return [program, *others]


def _missing_flag() -> str:
    """Returns the message for the first required flag that was not given, or nothing."""
    missing = [flag for flag in _help.own_flags(sys.argv[0]) if _help.is_required(flag) and flag.value is None]
    return f"--{missing[0].name} is missing: {_one_line(missing[0].help)}" if missing else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
