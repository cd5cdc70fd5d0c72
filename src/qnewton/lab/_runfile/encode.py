"""Encoding of records, with any kind of numbers in them, to the bytes of a file."""

from pathlib import Path
from typing import Any

import msgspec


def encode(value: Any) -> bytes:
    """Encode on one line, to the last digit; a number that is not finite is null."""
    return _ENCODER.encode(value)


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


_ENCODER = msgspec.json.Encoder(enc_hook=_builtin)
