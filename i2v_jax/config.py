"""Configurations: declared fields, sections of them, and the arguments of config files."""

import copy
import dataclasses
import difflib
import numbers
import re
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from i2v_jax.errors import UserError

_KINDS = {bool: "true or false", int: "an integer", float: "a number", numbers.Real: "a number", str: "a string"}


class UnknownFieldError(UserError, AttributeError):
    """A field that a configuration does not have. An AttributeError, so that `hasattr` and `getattr` work."""


@dataclasses.dataclass(frozen=True)
class Field:
    """The declaration of a field: its default value and the values it may have. The default gives the type.

    >>> Field(2, "checkpoints to keep", at_least=1)
    """

    default: Any
    help: str = ""
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[Any, ...] = ()
    may_change: bool = False  # between two runs in one work directory: it does not decide what is learned
    items: type | None = None  # the type of the items of a tuple, if the default has none
    stage: str = ""  # of a field outside of the stages' sections: the only stage that depends on it

    def check(self, name: str, value: Any) -> Any:
        """Returns `value` in the field's type (an integer may stand for a float). Raises UserError naming the field."""
        try:
            if isinstance(self.default, tuple):
                if not isinstance(value, tuple | list):
                    raise TypeError
                return tuple(self._within_bounds(_converted(self._item, item)) for item in value)
            return self._within_bounds(_converted(type(self.default), value))
        except (TypeError, ValueError) as error:
            raise self.error(name, value) from error

    def parse(self, name: str, text: str) -> Any:
        """Returns the value that `text` stands for. The items of a tuple are separated by commas. Raises UserError."""
        try:
            if isinstance(self.default, tuple):
                items = (item.strip(" '\"") for item in text.strip(" ()[]").split(","))
                value: Any = tuple(_parsed(self._item, item) for item in items if item)
            else:
                value = _parsed(type(self.default), text)
        except ValueError as error:
            raise self.error(name, text) from error
        return self.check(name, value)

    def error(self, name: str, value: Any) -> UserError:
        """Returns the error for an invalid value of the field."""
        return UserError(f"invalid value for {name}: {value!r} (must be {self._requirement()})", name, value)

    @property
    def _item(self) -> type:
        return self.items or (type(self.default[0]) if self.default else float)

    def _within_bounds(self, value: Any) -> Any:
        if (
            (self.at_least is not None and not value >= self.at_least)
            or (self.at_most is not None and not value <= self.at_most)
            or (self.choices and value not in self.choices)
        ):
            raise ValueError(value)
        return value

    def _requirement(self) -> str:
        if self.choices:
            return f"one of {', '.join(str(choice) for choice in self.choices if choice != '')}"
        words = [_KINDS[type(self.default)]] if not isinstance(self.default, tuple) else []
        words += [] if words else [f"values separated by commas, each {_KINDS[self._item]}"]
        words += [] if self.at_least is None else [f"at least {self.at_least}"]
        words += [] if self.at_most is None else [f"at most {self.at_most}"]
        return ", ".join(words)


class Config(ml_collections.ConfigDict):
    """A locked ConfigDict of declared fields: it refuses other names, and values that its fields may not have."""

    def __init__(self, fields: Mapping[str, Any] | None = None, path: str = "") -> None:
        """`fields`: name -> `Field`, a default value, or the fields of a section. `path`: the section's dotted name."""
        super().__init__()
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_declared", {})
        self.declare(**(fields or {}))
        self.lock()

    def declare(self, **fields: Any) -> None:
        """Adds fields and sections."""
        for name, value in fields.items():
            path = self._dotted(name)
            if isinstance(value, Config):
                self._fields[name] = value
            elif isinstance(value, Mapping):
                self._fields[name] = Config(value, path)
            else:
                self._declared[name] = value if isinstance(value, Field) else Field(value)
                self._fields[name] = self._declared[name].check(path, self._declared[name].default)

    def declared(self, name: str) -> Field:
        """Returns the declaration of the field of a dotted name. Raises UnknownFieldError."""
        section, _, rest = name.partition(".")
        if rest:
            if not isinstance(self.get(section), Config):
                raise self._unknown(name)
            return self[section].declared(rest)
        if name not in self._declared:
            raise self._unknown(name)
        return self._declared[name]

    def set_text(self, name: str, text: str) -> None:
        """Sets the field of a dotted name to the value that `text` stands for. Raises UserError."""
        section, _, leaf = name.rpartition(".")
        value = self.declared(name).parse(self._dotted(name), text)
        (self[section] if section else self)[leaf] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Config) and isinstance(value, ml_collections.ConfigDict | Mapping):
            self[name].update(value)
        else:
            self._fields[name] = self.declared(name).check(self._dotted(name), value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise self._unknown(name) from None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def copy_and_resolve_references(self, visit_map: Any = None) -> "Config":
        return copy.deepcopy(self)

    def _dotted(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _unknown(self, name: str) -> UnknownFieldError:
        path, known = self._dotted(name), [self._dotted(field) for field in self._names()]
        leaves = difflib.get_close_matches(_leaf(name), map(_leaf, known), 1)
        near = [field for field in known if _leaf(field) in leaves]
        near = difflib.get_close_matches(path, near, 3, cutoff=0.0) or difflib.get_close_matches(path, known, 3)
        near = near if leaves or "." in name else []
        hint = f"did you mean {' or '.join(near)}?" if near else self._inventory()
        return UnknownFieldError(f"unknown field {path}: {hint}", path)

    def _names(self) -> list[str]:
        """Returns the dotted names of all fields."""
        return list(flat(self.to_dict()))

    def _inventory(self) -> str:
        return f"{self._path or 'the configuration'} has {', '.join(sorted(self.keys()))}"


class Overrides(Config):
    """Values that replace those of another section, all of them optional: the fields of `target` but for `without`."""

    def __init__(self, target: Config, path: str, without: tuple[str, ...] = ()) -> None:
        super().__init__({}, path)
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_without", without)

    def declared(self, name: str) -> Field:
        if name in self._without:
            raise self._unknown(name)
        try:
            return self._target.declared(name)
        except UnknownFieldError:
            raise self._unknown(name) from None

    def __getitem__(self, name: str) -> Any:
        if name not in self._fields and isinstance(self._target.get(name), Config):
            self._fields[name] = Overrides(self._target[name], self._dotted(name))
        return super().__getitem__(name)

    def _names(self) -> list[str]:
        return [name for name in self._target._names() if name not in self._without]

    def _inventory(self) -> str:
        return f"{self._path} has {', '.join(sorted(set(self._target.keys()) - set(self._without)))}"


class Arguments:
    """The arguments of a config file, what follows the colon in `--config=sky:size=64,runlocal`.

    >>> arguments = Arguments("size=64,runlocal", size=128, stage="", runlocal=False)
    >>> arguments.size
    64
    """

    def __init__(self, text: str | None, **declared: Any) -> None:
        """Declares the arguments: name -> `Field` or a default value. Raises UserError for other names and values."""
        fields = {name: value if isinstance(value, Field) else Field(value) for name, value in declared.items()}
        self._values = {name: field.default for name, field in fields.items()}
        for item in filter(None, (text or "").split(",")):
            name, equals, value = item.partition("=")
            if "." in name:
                raise UserError(f"{name} is a field: write --config.{name}={value or 'VALUE'}", name, value)
            if name not in fields:
                raise UserError(f"unknown config argument {name!r}: this config has {', '.join(fields)}", name, value)
            self._values[name] = fields[name].parse(name, value if equals else "true")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None


def stage_data(config: ml_collections.ConfigDict, stage: str) -> ml_collections.ConfigDict:
    """Returns the data settings of a stage: a copy of `config.data` with the values that `STAGE.data` overrides."""
    data = ml_collections.ConfigDict(config.data.to_dict())
    data.update(config[stage].data.to_dict() if "data" in config[stage] else {})
    return data


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns dotted name -> value for the leaves of nested dictionaries."""
    return dict(_leaves(tree, prefix))


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _converted(kind: type, value: Any) -> Any:
    """Returns `value` as `kind`. Raises TypeError where that would change it."""
    allowed = {int: numbers.Integral, float: numbers.Real}.get(kind, kind)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(value)
    return value if kind is numbers.Real else kind(value)


def _parsed(kind: type, text: str) -> Any:
    """Returns the value of type `kind` that `text` stands for. Raises ValueError."""
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(text)
        return text.lower() in ("true", "1")
    if kind is numbers.Real:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    return kind(text)
