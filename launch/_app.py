"""What every entry point shares: help, platform set-up, flag parsing, and user errors printed as one line."""

import functools
import itertools
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NoReturn

from absl import app, flags, logging

from i2v_jax import files, logs
from i2v_jax.distributed import runtime
from i2v_jax.errors import UserError
from i2v_jax.launch import _help, _output
from i2v_jax.training.interrupt import Interruption


@_output.written()
def run(
    main: Callable[..., int | None], positional: str = "", buckets: Collection[str] = (), *, resumes: bool = False
) -> None:
    """Runs an absl `main` and exits with one of these statuses.

        0    finished
        1    a crash: a bug, or a machine that failed
        2    a UserError, which is printed as one line
        75   stopped by SIGTERM or Ctrl-C; the same command continues (`INTERRUPTED`, of programs that resume)
        130  stopped by Ctrl-C (of all others), or by a second one
        141  what it printed had no reader any longer, as after `| head`

    What ends one of several processes with an error ends all of them.

    Args:
      main: called with the program's name and the positional arguments; returns the status, None for 0.
      positional: what the positional arguments are called in the help; when empty, they are an error.
      buckets: names of the flags whose paths may be in a bucket; "" stands for positional arguments.
      resumes: whether the same command continues what was stopped. `main` gets an `Interruption`, too.
    """
    if _help.is_requested(sys.argv):
        print(_help.text(main.__globals__["__doc__"], sys.argv[0], positional))
        return
    logging.set_verbosity(logging.ERROR)  # the program itself prints what users need to know
    logs.show()
    if resumes:
        interruption = Interruption(joins=True)
        interruption.listen()
        main = functools.partial(main, interruption=interruption)
    try:
        runtime.configure_platform()
        app.run(main, flags_parser=functools.partial(_parse_flags, takes_positional=bool(positional), buckets=buckets))
    except SystemExit as done:
        if resumes:
            from i2v_jax.distributed import processes

            processes.leave(done.code)
        raise
    except UserError as error:
        _end(2, f"error: {error}")
    except KeyboardInterrupt:
        _end(130, "interrupted")
    except Exception as error:
        if isinstance(error, OSError) and (failed := _output.failure(error)):
            _end(*failed)
        if isinstance(error, PermissionError) and error.filename:
            problem = f"cannot use {error.filename} ({error.strerror})"
            _end(2, f"error: {problem}: the user who runs this must be allowed to read and write it")
        from i2v_jax.distributed import processes

        processes.end_after(error)
        raise


def _end(status: int, message: str) -> NoReturn:
    from i2v_jax.distributed import processes  # it imports jax, which --help does not wait for

    processes.end(status, message)


def _parse_flags(argv: Sequence[str], takes_positional: bool, buckets: Collection[str] = ()) -> list[str]:
    """Returns the program's name and the positional arguments.

    Raises:
      UserError: for a flag that is unknown, missing or has a wrong value, such as a bucket that cannot be reached.
    """
    try:
        argv = [argv[0], *_joined(flags.FLAGS.read_flags_from_files(argv[1:]))]
        program, *others = flags.FLAGS(argv)
    except SystemExit:  # absl printed the help that --helpfull asks for; it exits with 1
        sys.exit(0)
    except flags.Error as error:
        message = _one_line(str(error))
        if flags.FLAGS.is_parsed():  # only a validator failed
            message = ("" if takes_positional else _unexpected(_positional(argv))) or _missing_flag() or message
        raise UserError(f"{message} (--help lists the flags)") from error
    if others and not takes_positional:
        raise UserError(_unexpected(others))
    for flag in _help.own_flags(sys.argv[0]):
        if flag.name in ("workdir", "out") and flag.value == "" != flag.default:
            raise UserError(f"--{flag.name} is empty: {_one_line(flag.help)}", flag.name)
    foreign = len(argv) - argv.index("--") - 1 if "--" in argv else 0  # arguments of another command
    for name, path in _paths(others[: len(others) - foreign]):
        or_bucket = name.lstrip("-") in buckets
        if or_bucket and files.is_in_bucket(path):
            files.require_bucket(path, name)
        else:
            files.require_local(path, name, or_bucket=or_bucket)
    return [program, *others]


def _joined(arguments: Sequence[str]) -> list[str]:
    """Returns arguments in which all --config.FIELD=VALUE are values of one flag, "config.", and so for "sweep.".

    What follows `--` is not for this command.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own = (re.sub(r"^--?(config|sweep)\.(?!=)", r"--\1.=", argument) for argument in arguments[:end])
    return [*own, *arguments[end:]]


def _paths(positional: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields (flag, text) of everything on the command line that may be a path."""
    for flag in _help.own_flags(sys.argv[0]):
        for value in flag.value if isinstance(flag.value, list) else [flag.value]:
            field, equals, path = str(value).partition("=")  # --config.FIELD=PATH, --import NAME=PATH
            yield f"--{flag.name}{field if flag.name.endswith('.') else ''}", path if equals else field
    yield from (("", word) for word in positional)


def _missing_flag() -> str:
    """Returns the message for the first required flag that was not given, or nothing."""
    missing = [flag for flag in _help.own_flags(sys.argv[0]) if _help.is_required(flag) and flag.value is None]
    return f"--{missing[0].name} is missing: {_one_line(missing[0].help)}" if missing else ""


def _unexpected(positional: Sequence[str]) -> str:
    """Returns the message for positional arguments, or nothing if there are none."""
    return f"unexpected arguments {list(positional)}: flags are given as --name=value" if positional else ""


def _positional(argv: Sequence[str]) -> list[str]:
    """Returns the arguments that are no flag and cannot be the value of the flag before them."""
    pairs = itertools.pairwise(argv)
    return [word for before, word in pairs if word[:1] != "-" and not (before[:1] == "-" and "=" not in before)]


def _one_line(text: str) -> str:
    return " ".join(text.split())
