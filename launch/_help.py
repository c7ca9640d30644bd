"""The text that `--help` prints: the module's docstring, all flags of the command, and the config files."""

import ast
import pathlib
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

from i2v_jax import commands
from i2v_jax.config_files import packaged_configs

_REQUESTS = {"--help", "-help", "-h", "-?", "--helpshort"}
_PLACEHOLDERS = {
    "string": "TEXT",
    "int": "INTEGER",
    "float": "NUMBER",
    "comma separated list of strings": "NAME,NAME,...",
}
_REPEATED = ";\n    repeat this option to specify a list of values"  # absl adds it to the help of a flag

_CONFIGURATION = (
    "CONFIG is the name of one of these files or the path of your own, with its arguments after a colon: sky:demo, "
    "bair:size=64, my_configs/robots.py:size=64. "
)


def is_requested(argv: Sequence[str]) -> bool:
    """Returns whether a command line asks for help. What follows `--` is not a flag."""
    options = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    return not _REQUESTS.isdisjoint(options)


def text(docstring: str, program: str, positional: str = "") -> str:
    """Returns the help of a command.

    Args:
      docstring: of its module. Its examples are written with `python -m launch.NAME`.
      program: `sys.argv[0]`, under which absl files the flags of the main module.
      positional: what the positional arguments are called; empty if there are none.
    """
    own = own_flags(program)
    required = [flag for flag in own if is_required(flag)]
    optional = [flag for flag in own if flag not in required]
    sections = [commands.as_typed(docstring.strip())]
    if positional:
        sections.append(f"Arguments: {positional}")
    sections += [
        "\n".join([title, *map(_described, group)])
        for title, group in (("Required flags:", required), ("Optional flags:", optional))
        if group
    ]
    if any(flag.name == "config." for flag in own):
        rows = [f"  {path.stem:14s} {first_line(path)}" for path in packaged_configs()]
        sections.append("\n".join([_filled(_CONFIGURATION), *rows]))
    return "\n\n".join(sections)


def is_required(flag: flags.Flag) -> bool:
    """Returns whether absl refuses a command line without the flag."""
    return flag.default is None and not all(validator.checker(None) for validator in flag.validators)


def first_line(path: pathlib.Path) -> str:
    """Returns the first line of a module's docstring without importing the module."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def own_flags(program: str) -> list[flags.Flag]:
    """Returns the flags that this package defines, without those of absl and other libraries, sorted by name."""
    modules = flags.FLAGS.flags_by_module_dict()
    package = __name__.partition(".")[0]
    own = [module for module in modules if module == program or module.startswith(f"{package}.")]
    return sorted((flag for module in own for flag in modules[module]), key=lambda flag: flag.name)


def _described(flag: Any) -> str:
    """Returns a flag with what it takes, and below, indented, its help and its default."""
    words = " ".join(flag.help.removesuffix(_REPEATED).split())
    if isinstance(flag, flags.EnumFlag | flags.MultiEnumClassFlag):
        words = words.partition(">: ")[2]  # absl puts the values before the help
    notes = []
    if flag.parser.syntactic_help not in ("", "a number", "an integer", "a comma separated list"):
        notes.append(flag.parser.syntactic_help)
    if flag.default not in (None, "", []):
        notes.append(f"default: {_written(flag.default)}")
    if isinstance(flag, flags.MultiFlag):
        notes.append("can be repeated")
    in_brackets = f" ({'; '.join(notes)})" if notes else ""
    return f"  {_usage(flag)}\n{_filled(words + in_brackets, indent=6)}"


def _usage(flag: Any) -> str:
    kind = flag.flag_type().removeprefix("multi ")
    if flag.name.endswith("."):
        return f"--{flag.name}FIELD=VALUE"
    if kind == "bool":
        return f"--[no]{flag.name}"
    values = flag.parser.enum_values if kind == "string enum" else [_PLACEHOLDERS[kind]]
    return f"--{flag.name}={'|'.join(values)}"


def _written(value: Any) -> str:
    """Returns a flag's value as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _filled(words: str, indent: int = 0) -> str:
    margin, width = " " * indent, min(shutil.get_terminal_size().columns, 100)
    return textwrap.fill(words, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
