"""The project's commands as a user types them: `python -m launch.NAME` in a checkout, `i2v NAME` where installed."""

import pathlib
import shlex
import shutil
import sys

_SCRIPT = "i2v"
_MODULES = "-m launch."
_IN_CHECKOUT = (pathlib.Path(__file__).parent / "launch").is_symlink()


def command(name: str, *arguments: str) -> str:
    """Returns the shell command that runs an entry point of `launch`, in the form in which this program was started.

    It can be pasted into a shell of the same folder: a program that is not on the PATH is given with its path.
    """
    started = pathlib.Path(sys.argv[0])
    if not _by_script():
        program = f"{_typed(pathlib.Path(sys.executable))} {_MODULES}"
    else:
        program = f"{_typed(started) if started.stem == _SCRIPT else _SCRIPT} "
    return f"{program}{' '.join([name, *map(shlex.quote, arguments)])}"


def started() -> str:
    """Returns the command that started this program, with `python` for the path of the interpreter."""
    _, *words = sys.orig_argv
    if words and pathlib.Path(words[0]).stem == _SCRIPT:
        return shlex.join([_SCRIPT, *words[1:]])
    return shlex.join(["python", *words])


def as_typed(text: str) -> str:
    """Returns `text` with `i2v NAME` in place of each `python -m launch.NAME` if this program was started as `i2v`."""
    return text.replace(f"python {_MODULES}", f"{_SCRIPT} ") if _by_script() else text


def _by_script() -> bool:
    return pathlib.Path(sys.argv[0]).stem == _SCRIPT or not _IN_CHECKOUT


def _typed(program: pathlib.Path) -> str:
    """Returns the name of a program if the shell finds it by its name, otherwise its path, short where it can be."""
    if shutil.which(program.name) == str(program):
        return program.name
    here = pathlib.Path.cwd()
    return shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))
