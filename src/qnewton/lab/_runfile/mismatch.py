"""Errors of type in a value read from JSON: the first wrong field, and its required type."""

import math
from collections.abc import Iterable
from typing import Any

from msgspec import inspect

from .errors import clean_text


def words(kind: inspect.Type) -> str:
    """A type in words, as error messages and the documentation have it."""
    match kind:
        case inspect.UnionType(types=types):
            # Null is said last.
            return " or ".join(words(one) for one in sorted(types, key=lambda t: isinstance(t, inspect.NoneType)))
        case inspect.LiteralType(values=values):
            shown = " or ".join(f"'{value}'" for value in values)
            return shown if len(values) < 3 else "one of " + ", ".join(f"'{value}'" for value in values)
        case inspect.FloatType(gt=0):
            return "positive number"
        case inspect.DictType(value_type=inspect.AnyType()):
            return "object"
        case inspect.DictType(value_type=value):
            return f"object of {plural(value)}"
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"list of {plural(item)}"
        case inspect.TupleType(item_types=items):
            return "[" + ", ".join(words(item) for item in items) + "]"
    return _SIMPLE[type(kind)]


_SIMPLE: dict[type, str] = {
    inspect.AnyType: "value",
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.CustomType: "string",
    inspect.StructType: "object",
    inspect.DataclassType: "object",
}


def plural(kind: inspect.Type) -> str:
    """Return the plural of a type in words."""
    single = words(kind)
    for word in ("object", "list"):
        if single.startswith(f"{word} of"):
            return single.replace(word, f"{word}s", 1)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(plural(one) for one in kind.types if not isinstance(one, inspect.NoneType)) + " or null"
    return single if single[0] in "['" or single.startswith("one of") else f"{single}s"


def mismatch(value: object, kind: inspect.Type, field: str = "") -> str | None:
    """Return a sentence on the first field that is not of its type; None if all are.

    Args:
        value: as JSON has it.
        kind: what it must be.
        field: its name, with those of what it is in, e.g. `predicted_seconds.paper.total`.
    """
    match kind, value:
        case inspect.AnyType(), _:
            return None
        case inspect.UnionType(types=types), _:
            found = [mismatch(value, one, field) for one in types]
            if None in found:
                return None
            # Of an object or list say what is wrong inside.
            return next(
                (one for one in found if one and not one.startswith(_opening(field))), _wrong(value, kind, field)
            )
        case ((inspect.StructType() | inspect.DataclassType()), dict()):
            return _of_record(value, kind, field)
        case inspect.DictType(), dict():
            return _first((item, kind.value_type, _inside(field, name)) for name, item in value.items())
        case ((inspect.VarTupleType() | inspect.ListType()), list()):
            return _first((item, kind.item_type, f"{field}[{index}]") for index, item in enumerate(value))
        case inspect.TupleType(), list() if len(value) == len(kind.item_types):
            pairs = enumerate(zip(value, kind.item_types, strict=True))
            return _first((item, one, f"{field}[{index}]") for index, (item, one) in pairs)
    return None if _is(value, kind) else _wrong(value, kind, field)


def _of_record(value: dict[str, Any], kind: inspect.StructType | inspect.DataclassType, field: str) -> str | None:
    for own in kind.fields:
        if own.required and own.encode_name not in value:
            wanted = _with_article(words(own.type))
            return f"{_opening(_inside(field, own.encode_name))}is missing; it must be {wanted}"
    there = [own for own in kind.fields if own.encode_name in value]
    inside = _first((value[own.encode_name], own.type, _inside(field, own.encode_name)) for own in there)
    if inside is not None:
        return inside
    unknown = next((name for name in value if name not in {own.encode_name for own in kind.fields}), None)
    return None if unknown is None else f"{_opening(_inside(field, unknown))}is not a field of this record"


def _first(parts: Iterable[tuple[object, inspect.Type, str]]) -> str | None:
    return next((found for part in parts if (found := mismatch(*part)) is not None), None)


def _is(value: object, kind: inspect.Type) -> bool:
    match kind:
        case inspect.NoneType():
            return value is None
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType(gt=gt):
            return _finite(value) and (gt is None or value > gt)  # pyright: ignore[reportOperatorIssue]
        case inspect.LiteralType(values=values):
            return isinstance(value, str) and value in values
        case inspect.StrType() | inspect.CustomType():
            return isinstance(value, str)
    return False


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer above the floating-point range
        return False


def _opening(field: str) -> str:
    return f"the field '{clean_text(field)}' " if field else "the whole of it "


def _wrong(value: object, kind: inspect.Type, field: str) -> str:
    return f"{_opening(field)}is {_shown(value)}; it must be {_with_article(words(kind))}"


def _shown(value: object) -> str:
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case str():
            text = clean_text(value)
            return f"the string '{text if len(text) <= 40 else text[:37] + '...'}'"
        case list():
            return "a list"
        case dict():
            return "an object"
    return f"the number {value}"


def _inside(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _with_article(kind: str) -> str:
    if kind.startswith(("one of", "'", "[", "null")):
        return kind
    article = "an" if kind[0] in "aeio" else "a"
    return f"{article} {kind.replace('number', 'finite number') if kind.startswith('number') else kind}"
