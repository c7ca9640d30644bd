"""Reads the YAML configs of the authors, checks them, and moves their values into a configuration."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from ml_collections import ConfigDict

from i2v_jax import files
from i2v_jax.errors import UserError

_MISSING = object()


class _Loader(yaml.SafeLoader):
    """Loads plain values, and two kinds that the authors' files contain: tuples, and floats such as 1e-5."""


_Loader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclasses.dataclass(frozen=True)
class Document:
    """One YAML file."""

    path: pathlib.Path
    fields: Mapping[str, Any]

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """Returns the value at a dotted path. Raises UserError if there is neither a value nor a default."""
        value: Any = self.fields
        for part in name.split("."):
            value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
        if value is _MISSING and default is _MISSING:
            raise UserError(f"{self.path} has no field {name}: it is incomplete, or of another model", name)
        return default if value is _MISSING else value

    def require(self, name: str, allowed: Iterable[Any]) -> None:
        """Raises UserError if the field has a value that is not allowed."""
        choices = list(allowed)
        value = self.get(name, choices[0])
        if value not in choices:
            known = ", ".join(map(str, choices))
            raise UserError(f"{self.path}: unsupported value for {name}: {value} (must be one of {known})", name, value)


def read(path: pathlib.Path) -> Document:
    """Returns a YAML file. Raises UserError if it is missing, is not YAML, or has tags that stand for code."""
    try:
        fields = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}", value=str(path)) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not plain YAML: {' '.join(str(error).split())}", value=str(path)) from error
    if not isinstance(fields, Mapping):
        raise UserError(f"{path} is not a config: it has no named fields", value=str(path))
    return Document(path, fields)


def write(path: pathlib.Path, fields: Mapping[str, Any]) -> None:
    """Writes plain YAML; tuples become lists."""
    files.write_text(path, yaml.safe_dump(_plain(fields), sort_keys=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def check_equal(first: Document, name: str, second: Document, other: str) -> None:
    """Raises UserError if both fields have values and these differ."""
    here, there = first.get(name, None), second.get(other, None)
    if here is not None and there is not None and here != there:
        raise UserError(
            f"{first.path} has {name}: {here}, but {second.path} has {other}: {there}. Give files of one model",
            name,
            here,
        )


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of the authors' config and the field of our configuration that it becomes."""

    theirs: str
    ours: str
    needed: bool = False  # because shapes depend on it; otherwise our value is kept if theirs is missing


def fill(config: ConfigDict, document: Document, fields: Iterable[Field]) -> None:
    """Sets fields, converted to the types of the configuration. Raises UserError if a value is missing or invalid."""
    for field in fields:
        value = document.get(field.theirs, *(() if field.needed else (None,)))
        if value is None:
            continue
        node, leaf = _node(config, field.ours)
        try:
            node[leaf] = _like(node[leaf], value)
        except (TypeError, ValueError) as error:
            needed = type(node[leaf]).__name__
            raise UserError(
                f"{document.path}: invalid value for {field.theirs}: {value!r} (must be of type {needed})",
                field.theirs,
                value,
            ) from error


def collect(config: ConfigDict, fields: Iterable[Field]) -> dict[str, Any]:
    """Returns nested fields of the authors' config: the inverse of `fill`."""
    tree: dict[str, Any] = {}
    for field in fields:
        *parents, leaf = field.theirs.split(".")
        part = tree
        for parent in parents:
            part = part.setdefault(parent, {})
        node, name = _node(config, field.ours)
        part[leaf] = node[name]
    return tree


def _node(config: ConfigDict, path: str) -> tuple[ConfigDict, str]:
    *parents, leaf = path.split(".")
    for parent in parents:
        config = config[parent]
    return config, leaf


def _like(old: Any, value: Any) -> Any:
    if isinstance(old, tuple):
        return tuple(_like(old[0], item) for item in value)
    if isinstance(old, bool) != isinstance(value, bool) or isinstance(old, str) != isinstance(value, str):
        raise TypeError
    converted = type(old)(value)
    if converted != value:  # 2.5 for an int
        raise ValueError
    return converted
