"""The YAML configs of the authors: values by dotted path, checked against each other, moved into a configuration."""

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
    """Plain values only, and two things that the authors' files have: tuples, and floats such as 1e-5."""


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
        """The value at a dotted path. Raises UserError where there is none and no default."""
        value: Any = self.fields
        for part in name.split("."):
            value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
        if value is _MISSING and default is _MISSING:
            raise UserError(f"{self.path} has no {name}: it is not the config of this model, or not whole")
        return default if value is _MISSING else value

    def require(self, name: str, allowed: Iterable[Any]) -> None:
        """Raises UserError when a value is there that is none of those."""
        choices = list(allowed)
        value = self.get(name, choices[0])
        if value not in choices:
            known = ", ".join(map(str, choices))
            raise UserError(f"{self.path}: {name} is {value}; only models with {known} can be read")


def read(path: pathlib.Path) -> Document:
    """Raises UserError: no such file, not YAML, or tags that stand for code."""
    try:
        fields = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not a plain YAML config: {' '.join(str(error).split())}") from error
    if not isinstance(fields, Mapping):
        raise UserError(f"{path} is not a config: it holds no named fields")
    return Document(path, fields)


def write(path: pathlib.Path, fields: Mapping[str, Any]) -> None:
    """Plain YAML; tuples become lists."""
    files.write_text(path, yaml.safe_dump(_plain(fields), sort_keys=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def check_equal(first: Document, name: str, second: Document, other: str) -> None:
    """Raises UserError when the two values are there and differ."""
    here, there = first.get(name, None), second.get(other, None)
    if here is not None and there is not None and here != there:
        raise UserError(
            f"{first.path} has {name}: {here}, but {second.path} has {other}: {there}: these are not of one model"
        )


@dataclasses.dataclass(frozen=True)
class Field:
    """A value of theirs and where it goes in a configuration of ours."""

    theirs: str
    ours: str
    needed: bool = False  # shapes depend on it; otherwise our own value is kept where theirs is missing


def fill(config: ConfigDict, document: Document, fields: Iterable[Field]) -> None:
    """Moves values, each to the type that the configuration has. Raises UserError: a value is missing or of another."""
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
                f"{document.path}: {field.theirs} is {value!r}, a value of type {needed} is needed"
            ) from error


def collect(config: ConfigDict, fields: Iterable[Field]) -> dict[str, Any]:
    """The inverse of `fill`: nested values of theirs."""
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
