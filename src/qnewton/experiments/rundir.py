"""The directory of a run: created once, appended to, never overwritten."""

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 5


class RunDirectory:
    """Writes the files that docs/run-files.md describes."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: Path | None, prefix: str) -> "RunDirectory":
        """Make the directory.

        Args:
            path: where; None takes the next free `runs/<prefix>-<number>`.
            prefix: task and preset, for the name.

        Raises:
            FileExistsError: if `path` holds anything.
            OSError: if it cannot be written.
        """
        if path is None:
            return cls(_next_free(Path("runs"), prefix))
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(
                f"{path} exists and is not an empty directory: nothing is ever overwritten. Name another one, or leave "
                "--out away for a new one under runs/"
            )
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    def discard(self) -> None:
        """Take the directory away again if nothing was written: of a run that could not start."""
        with contextlib.suppress(OSError):
            self.path.rmdir()  # which refuses where there is anything

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file, whole or not at all."""
        target = self.path / name
        scratch = target.with_suffix(".partial")
        scratch.write_text(json.dumps(jsonable(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(scratch, target)

    def append(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Add lines to a JSON-lines file; what is written is on disk before the next step starts."""
        text = "".join(json.dumps(jsonable(line), allow_nan=False) + "\n" for line in lines)
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(text)


def jsonable(value: Any) -> Any:
    """The value in JSON's types: numbers that are not finite become None, arrays become lists or scalars."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def _next_free(parent: Path, prefix: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / f"{prefix}-{number:03d}"
        try:
            # Two runs that start together must not share a directory: mkdir decides.
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path
