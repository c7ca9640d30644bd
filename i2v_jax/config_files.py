"""Loading configurations: config files by path or by name, their arguments, overrides, and the plugins they name.

A config file has `get_config(argument="")`, where the argument is what follows the colon in
`--config=sky:demo,stage=flow`. It starts from `configs.common.base` and changes fields.
"""

import importlib
import importlib.util
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from i2v_jax.config import Config, flat
from i2v_jax.errors import UserError


def load(spec: str, overrides: Iterable[str] = ()) -> Config:
    """Returns the configuration that a command line describes, and imports its plugins.

    Args:
      spec: the value of `--config`: a config file or the name of one of the package's, and arguments after a colon.
      overrides: "FIELD=VALUE" of each `--config.FIELD=VALUE`.
    Raises:
      UserError: there is no such config, argument or field, or a value is not allowed.
    """
    name, _, argument = spec.partition(":")
    config = _module(name).get_config(argument)
    if not isinstance(config, Config):
        raise UserError(f"get_config of {name} must return what i2v_jax.configs.common.base made", "config", spec)
    for item in overrides:
        field, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"--config.{field} has no value: write --config.{field}=VALUE", field)
        config.set_text(field, text)
    import_plugins(config.get("plugins", ()))
    return config


def explain(spec: str, overrides: Sequence[str] = ()) -> str:
    """Returns a table of all fields: name, value, where the value comes from, and what the field means."""
    config = load(spec, overrides)
    name, _, argument = spec.partition(":")
    without_argument = flat(load(name).to_dict())
    rows = []
    for field, value in flat(config.to_dict()).items():
        if any(item.partition("=")[0] == field for item in overrides):
            source = "command line"
        elif argument and without_argument.get(field) != value:
            source = f":{argument}"
        else:
            source = "default" if value == config.declared(field).default else name
        rows.append((field, str(value), source, config.declared(field).help))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )


def packaged_configs() -> list[pathlib.Path]:
    """Returns the config files of the package, sorted by name."""
    files = pathlib.Path(__file__).with_name("configs").glob("*.py")
    return sorted(file for file in files if "def get_config(" in file.read_text())


def import_plugins(modules: Iterable[str]) -> None:
    """Imports modules that register what they add to the package. Raises UserError if one is missing."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise UserError(
                f"cannot import plugin {name!r}: install it, or add its folder to PYTHONPATH", "plugins", name
            ) from error


def _module(name: str) -> Any:
    """Returns the module of a config file, or of a config of the package."""
    packaged = [file.stem for file in packaged_configs()]
    if name in packaged:
        return importlib.import_module(f"i2v_jax.configs.{name}")
    file = pathlib.Path(name)
    if file.suffix != ".py" or not file.is_file():
        known = ", ".join(packaged)
        raise UserError(f"no config {name!r}: give a file like my_config.py, or one of {known}", "config", name)
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
