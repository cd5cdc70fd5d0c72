"""Decoding of a file's bytes to a record, or to a sentence on their error."""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import NotJSONError, RunFileError, clean_text
from .mismatch import mismatch

T = TypeVar("T")
Upgrade = Callable[[Any], None]
"""Brings an object of an older schema to the present one, in place."""

# Control characters and surrogates, raw or escaped: rare, so that the text is looked at again only where there are any.
_SUSPECT = re.compile(rb"\\u00[01789]|\\u[dD][89a-fA-F]|\\ufff|\x7f|\xc2[\x80-\x9f]")
_SEE = "(see docs/run-files.md)"


def decode(raw: bytes, kind: type[T], place: str, upgrade: Upgrade | None = None) -> T:
    """Decode one JSON object.

    Args:
        raw: UTF-8.
        kind: of the record.
        place: file and line, for the message.
        upgrade: of an older schema.

    Raises:
        RunFileError: if it is not JSON, or not such a record; names the field.
    """
    if not _SUSPECT.search(raw):
        try:
            if upgrade is None:
                return _decoder(kind).decode(raw)
            found = msgspec.json.decode(raw)
            upgrade(found)
            return msgspec.convert(found, kind)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # said below, in more words than one
    value = untyped(raw, place)
    if upgrade is not None:
        upgrade(value)
    return typed(value, kind, place)


def untyped(raw: bytes, place: str) -> Any:
    """Return the parsed JSON, its texts clean.

    Raises:
        NotJSONError: if it is none.
        RunFileError: for NaN and infinities.
    """

    def reject(word: str) -> object:
        raise RunFileError(f"{place}: {word} is not JSON (a number that is not finite is written as null)")

    try:
        return _clean(json.loads(raw.decode("utf-8"), parse_constant=reject))
    except RunFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise NotJSONError(f"{place}: not JSON in UTF-8: {error}") from error


def typed(value: Any, kind: type[T], place: str, inside: str = "") -> T:
    """Return a record, or a dataclass, from its JSON form, in which every field must be present.

    Args:
        value: as `untyped` has it.
        kind: of the record.
        place: file and line, for the message.
        inside: which field the value is.

    Raises:
        RunFileError: names the field.
    """
    wrong = mismatch(value, _info(kind), inside)
    if wrong is None:
        try:
            return msgspec.convert(value, kind, dec_hook=_made)
        except msgspec.ValidationError as error:
            # A rule of the record itself: the path that msgspec adds says less than the rule.
            wrong = str(error).partition(" - at `$")[0]
    raise RunFileError(f"{place}: {wrong} {_SEE}")


@functools.cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


@functools.cache
def _info(kind: type) -> msgspec.inspect.Type:
    return msgspec.inspect.type_info(kind)


def _made(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"{kind.__name__} is no type that a run file has: give the field one of JSON's, or Path")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(name): _clean(item) for name, item in value.items()}
    return value
