"""Encoding of records, with any kind of numbers in them, to the bytes of a file."""

import re
from pathlib import Path
from typing import Any

import msgspec


def encode(value: Any) -> bytes:
    """Encode on one line, to the last digit; a number that is not finite is null."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return _ENCODER.encode(_readable(msgspec.to_builtins(value, enc_hook=_builtin)))


def readable(text: str) -> str:
    """Return text without the surrogates by which Python has names of files that are no text where it runs.

    What is UTF-8 becomes the characters that it stands for, and any other byte an escape.
    """
    return (
        _LONE.sub("\N{REPLACEMENT CHARACTER}", text)
        .encode("utf-8", "surrogateescape")
        .decode("utf-8", "backslashreplace")
    )


def _readable(value: Any) -> Any:
    """The same for all text in JSON's types."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_readable(key): _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value


def encode_indented(value: Any) -> bytes:
    """Encode the same on many lines, for files that are read by eye."""
    return msgspec.json.format(encode(value), indent=2) + b"\n"


def plain(value: Any) -> Any:
    """Return the value as read back: JSON's types alone, and None for numbers that are not finite."""
    return msgspec.json.decode(encode(value))


def _builtin(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    # Scalars and arrays of numpy and jax.
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is a {type(value).__name__}, which no JSON type stands for")


_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What stands for no byte either."""
_ENCODER = msgspec.json.Encoder(enc_hook=_builtin)
