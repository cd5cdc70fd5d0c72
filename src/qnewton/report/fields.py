"""Checked access to the fields of one JSON object, with errors that say where the object was read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class RunFileError(ValueError):
    """A run file is missing or is not what `docs/run-files.md` says; the message names file, line and field."""


def clean_text(text: str) -> str:
    """Replaces what neither HTML nor SVG can hold (control characters, lone surrogates) by U+FFFD."""
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def _kind(value: object) -> str:
    names = {bool: "a boolean", str: "a string", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), f"the number {value}")


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and the place it came from, e.g. `blocks.jsonl, line 3`."""

    values: Mapping[str, object]
    place: str

    def error(self, name: str, wanted: str) -> RunFileError:
        """The error that says that the field `name` is not `wanted`."""
        found = f"is {_kind(self.values[name])}" if name in self.values else "is missing"
        return RunFileError(f"{self.place}: the field '{name}' {found}; it must be {wanted} (see docs/run-files.md)")

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self.error(name, "a string")
        return clean_text(value)

    def text_or_null(self, name: str) -> str | None:
        if name in self.values and self.values[name] is None:
            return None
        return self.text(name)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or value not in allowed:
            found = f" (found '{clean_text(value)}')" if isinstance(value, str) else ""
            raise self.error(name, "one of " + ", ".join(f"'{word}'" for word in allowed) + found)
        return value

    def integer(self, name: str) -> int:
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(name, "an integer")
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise self.error(name, "true or false")
        return value

    def number(self, name: str) -> float | None:
        """A finite number; None stands for null, which is how a number that is not finite is written."""
        if name not in self.values:
            raise self.error(name, "a number or null")
        value = self.values[name]
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
            raise self.error(name, "a finite number or null")
        return float(value)

    def child(self, name: str) -> Fields:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.error(name, "an object")
        return Fields(cast("dict[str, object]", value), f"{self.place}, in '{clean_text(name)}'")

    def children(self, name: str) -> dict[str, Fields]:
        """The object `name`, whose values are objects."""
        group = self.child(name)
        return {clean_text(key): group.child(key) for key in group.values}

    def items(self, name: str) -> list[Fields]:
        """The list `name`, whose entries are objects."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.error(name, "a list of objects")
        return [Fields(entry, f"{self.place}, in '{name}[{index}]'") for index, entry in enumerate(value)]

    def numbers(self, name: str) -> dict[str, float | None]:
        group = self.child(name)
        return {clean_text(key): group.number(key) for key in group.values}

    def integers(self, name: str) -> dict[str, int]:
        group = self.child(name)
        return {clean_text(key): group.integer(key) for key in group.values}

    def texts(self, name: str) -> dict[str, str]:
        group = self.child(name)
        return {clean_text(key): group.text(key) for key in group.values}

    def pairs(self, name: str) -> tuple[tuple[float, float | None], ...]:
        """The list `name` of pairs `[number, number or null]`."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise self.error(name, "a list of [number, number or null]")
        rows: list[tuple[float, float | None]] = []
        for entry in value:
            if not isinstance(entry, list) or len(entry) != 2:
                raise self.error(name, "a list of [number, number or null]")
            pair = Fields({"0": entry[0], "1": entry[1]}, f"{self.place}, in '{clean_text(name)}'")
            first, second = pair.number("0"), pair.number("1")
            if first is None:
                raise pair.error("0", "a number")
            rows.append((first, second))
        return tuple(rows)


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer above the floating-point range
        return False
