"""The parameters of a request, from JSON or a form, checked one by one."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from i2v_jax.errors import UserError
from i2v_jax.input.coordinates import numbers


class Fields:
    """Named values, of JSON types or as text. All methods raise UserError for an invalid value."""

    def __init__(self, values: Mapping[str, Any], known: Collection[str]) -> None:
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(f"unknown parameter {unknown[0]!r}: use {', '.join(sorted(known))}", unknown[0])
        self._values = {name: value for name, value in values.items() if value is not None and value != ""}

    def number(self, name: str, default: float | None, low: float = -math.inf, high: float = math.inf) -> float | None:
        """Returns a finite number from `low` to `high`."""
        value = self._values.get(name, default)
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise UserError(f"{name}={_short(value)} is not a number", name, value)
        if not low <= number <= high:
            raise UserError(f"invalid value {name}={number:g} (must be from {low:g} to {high:g})", name, number)
        return number

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Returns an integer from `low` to `high`."""
        number = self.number(name, default, low, high)
        assert number is not None  # there is a default
        if number != int(number):
            raise UserError(f"{name}={number:g} is not an integer", name, number)
        return int(number)

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """Returns one of `choices`."""
        value = self._values.get(name, default)
        if value not in choices:
            raise UserError(f"invalid value {name}={_short(value)} (must be one of {', '.join(choices)})", name, value)
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Returns a boolean, also for the texts "true", "false", "1" and "0"."""
        value = self._values.get(name, default)
        known = {"true": True, "1": True, "false": False, "0": False}
        if str(value).lower() not in known:
            raise UserError(f"invalid value {name}={_short(value)} (must be true or false)", name, value)
        return known[str(value).lower()]

    def text(self, name: str) -> str | None:
        """Returns text. Numbers become text: 1 is "1", and [1, 2] is "1,2"."""
        value = self._values.get(name)
        return None if value is None else _as_text(name, value)

    def rows(self, name: str, form: str, most: int) -> list[list[float]]:
        """Returns up to `most` rows of a `form` like "x,y", from [[1, 2], ...], ["1,2", ...], or a single row."""
        value = self._values.get(name, [])
        if isinstance(value, str) or (isinstance(value, list) and value and not isinstance(value[0], str | list)):
            value = [value]
        if not isinstance(value, list):
            raise UserError(f"{name}={_short(value)} is not a list of {form}", name, value)
        if len(value) > most:
            raise UserError(f"{len(value)} values of {name} are too many (must be at most {most})", name, len(value))
        return [numbers(name, _as_text(name, item), form) for item in value]


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(item) if isinstance(item, int | float) else "?" for item in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UserError(f"{name}={_short(value)} is not text: write numbers like 1,2", name, value)
    return value if len(value) < 200 else _short(value)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
