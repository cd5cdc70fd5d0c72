"""JSON files of a known shape; errors name the field, in the terms of the run files.

The reader of the run files stands on msgspec, which the extra `lab` brings; kept calibrations are read without it.
"""

import json
import sys
from pathlib import Path
from typing import Any


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


_IS = {
    "a string": lambda value: isinstance(value, str),
    "an integer": lambda value: type(value) is int,
    "a finite number": _number,
    "a finite number or null": lambda value: value is None or _number(value),
}
Shape = str | list[Any] | dict[str, Any]
"""A key of `_IS`; `[shape]`, a list of any length; `[shape, shape]`, one of that length; `{name: shape}`, an object
that has these fields and perhaps others; `{"*": shape}`, one with any names."""


def read_shaped(path: Path, shape: Shape, version: int, remedy: str) -> Any:
    """Return the content of a file.

    Args:
        path: of the file.
        shape: what it must be.
        version: the `schema_version` that is read.
        remedy: what to do with any other file, for the message.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not JSON, of another schema or of another shape; names file and field.
    """

    def reject(word: str) -> object:
        raise ValueError(f"{word} is not JSON (a number that is not finite is written as null)")

    try:
        content = json.loads(path.read_bytes().decode("utf-8"), parse_constant=reject)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON in UTF-8: {error}: {remedy}") from error
    found = content.get("schema_version") if isinstance(content, dict) else version
    wrong = f"schema_version is {found!r}, and this version of qnewton reads {version}"
    if found == version:
        wrong = mismatch(content, shape)
    if wrong is not None:
        raise ValueError(f"{path}: {wrong}: {remedy}")
    return content


def mismatch(value: Any, shape: Shape, field: str = "") -> str | None:
    """Return a sentence on the first field that is not of its type; None if all are.

    Args:
        value: as JSON has it.
        shape: what it must be.
        field: its name, with those of what it is in, e.g. `kernels.lu.samples[0]`.
    """
    if not _fits(value, shape):
        place = f"the field '{field}'" if field else "the whole of it"
        return f"{place} is {_shown(value)}; it must be {_words(shape)}"
    if isinstance(shape, str):
        return None
    if isinstance(shape, dict):
        kinds: dict[str, Any] = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
        inside = {name: f"{field}.{name}".lstrip(".") for name in kinds}
        for name in kinds:
            if name not in value:
                return f"the field '{inside[name]}' is missing; it must be {_words(kinds[name])}"
        parts = [(value[name], kind, inside[name]) for name, kind in kinds.items()]
    else:
        each = shape * len(value) if len(shape) == 1 else shape
        parts = [(one, kind, f"{field}[{k}]") for k, (one, kind) in enumerate(zip(value, each, strict=True))]
    return next((found for part in parts if (found := mismatch(*part)) is not None), None)


def _fits(value: Any, shape: Shape) -> bool:
    if isinstance(shape, str):
        return _IS[shape](value)
    return isinstance(value, type(shape)) and (isinstance(shape, dict) or len(shape) in (1, len(value)))


def _words(shape: Shape) -> str:
    if isinstance(shape, list):
        return "a list" if len(shape) == 1 else f"a list of {len(shape)}"
    return shape if isinstance(shape, str) else "an object"


def _shown(value: Any) -> str:
    match value:
        case bool() | None:
            return json.dumps(value)
        case str():
            return f"the string {value!r}"
        case list() | dict():
            return "a list" if isinstance(value, list) else "an object"
    return f"the number {value}"
