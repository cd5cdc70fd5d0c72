"""SHA-256 of what a run rests on."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """SHA-256 of plain JSON, whatever the order of its names and its spaces."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
