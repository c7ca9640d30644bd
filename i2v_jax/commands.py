"""The project's commands as a user types them: `python -m launch.NAME` in a checkout, `i2v NAME` where installed."""

import pathlib
import shlex
import shutil
import sys


def command(name: str, *arguments: str) -> str:
    """Returns the shell command that runs an entry point of `launch`, in the form in which this program was started.

    It can be pasted into a shell of the same folder: a program that is not on the PATH is given with its path.
    """
    return f"{_prefix()}{' '.join([name, *map(shlex.quote, arguments)])}"


def as_typed(text: str) -> str:
    """Returns `text` with `i2v NAME` in place of each `python -m launch.NAME` if this program was started as `i2v`."""
    return text.replace("python -m launch.", "i2v ") if _started_as_i2v() else text


def _prefix() -> str:
    """Returns what stands before the name of an entry point."""
    interpreter = pathlib.Path(sys.executable)
    if _started_as_i2v():
        return f"{_program(interpreter.with_name('i2v'))} "
    return f"{_program(interpreter)} -m launch."


def _started_as_i2v() -> bool:
    in_checkout = (pathlib.Path(__file__).parent / "launch").is_symlink()
    return pathlib.Path(sys.argv[0]).stem == "i2v" or not in_checkout


def _program(path: pathlib.Path) -> str:
    """Returns the name of a program if the shell finds it by its name, otherwise its path, short where it can be."""
    if shutil.which(path.name) == str(path) or not path.exists():
        return path.name
    here = pathlib.Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
