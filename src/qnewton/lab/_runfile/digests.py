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


def config_digest(content: dict[str, Any]) -> str:
    """SHA-256 of `config.json`, but for itself, which `digests` has as `config`."""
    others = {name: digest for name, digest in content["digests"].items() if name != "config"}
    return value_digest(content | {"digests": others})
