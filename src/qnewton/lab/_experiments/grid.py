"""A directory of many trainings that a stopped command resumes: each finished cell is written once and stays."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from .._runfile import GridHead, Record, RunDirectory, RunFileError, decode, encode, read_version

H = TypeVar("H", bound=GridHead)
R = TypeVar("R", bound=Record)

_INSTEAD = "nothing is ever overwritten. Name another --out, or give its own options to go on with it"
_AGAIN = "Nothing is overwritten: delete it to have it made again"


class Grid(RunDirectory, Generic[H]):
    """A request, one record per finished cell, and results derived from all of them.

    Attributes:
        head: what was asked for; it decides what the cells are.
    """

    def __init__(self, path: Path, head: H):
        super().__init__(path)
        self.head = head

    @classmethod
    def open(cls, path: Path | None, prefix: str, file: str, asked: H) -> "Grid[H]":
        """Make the directory, or resume the same grid.

        Args:
            path: where; None takes the next free one under runs/.
            prefix: of the name there.
            file: that the head stands in.
            asked: the head of a new grid.

        Raises:
            RunFileError: if the directory holds another grid; names the first difference.
            FileExistsError: if it holds anything else.
        """
        # As it is read back, where a tuple in an option is a list.
        asked = decode(encode(asked), type(asked), "the options")
        if path is not None and (path / file).exists():
            found = cls.read(path, file, type(asked), asked.schema_version)
            found.take()
            _refuse_others(path, found.head, asked)
            return found
        fresh = RunDirectory.create(path, prefix)
        made = cls(fresh.path, asked)
        made._own, fresh._own = fresh._own, None
        made.write(file, asked)
        return made

    @classmethod
    def read(cls, path: Path, file: str, kind: type[H], version: int) -> "Grid[H]":
        """Read an existing grid.

        Raises:
            RunFileError: if there is none, another version wrote it, or it cannot be read.
        """
        if not (path / file).is_file():
            raise RunFileError(f"{path} holds no {file}: it is not the directory of such a command")
        return cls(path, read_version(path / file, kind, version))

    def done(self, name: str, kind: type[R], **settings: Any) -> R | None:
        """The record of a cell; None where it is not done.

        Args:
            name: of its file in the directory.
            kind: of the record.
            settings: fields that it must have, since they decided what was done.

        Raises:
            RunFileError: if the file is torn or altered.
        """
        file = self.path / name
        if not file.is_file():
            return None
        try:
            record = decode(file.read_bytes(), kind, str(file))
        except RunFileError as error:
            raise RunFileError(f"{error}. {_AGAIN}") from error
        for field, wanted in settings.items():
            found = getattr(record, field)
            if found != wanted:
                raise RunFileError(f"{file}: its {field} is {found}, and this cell's is {wanted}. {_AGAIN}")
        return record

    @contextlib.contextmanager
    def building(self, name: str) -> Iterator[RunDirectory]:
        """Yield a cell's directory, made beside its place and moved there when complete.

        A stopped process's remains count as no result.

        Raises:
            RunFileError: if there is something in its place, which is not whole.
        """
        place = self.path / name
        if place.exists():
            raise RunFileError(f"{place} is there and is not whole. {_AGAIN}")
        scratch = place.with_name(f".{place.name}.partial")
        if scratch.exists():
            shutil.rmtree(scratch)
        directory = RunDirectory.create(scratch, "")
        try:
            yield directory
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        os.replace(scratch, place)


def _refuse_others(path: Path, there: GridHead, asked: GridHead) -> None:
    name, wanted = (getattr(one, "name", None) for one in (there, asked))
    if name != wanted:
        raise RunFileError(f"{path} is a reproduction of {name}, not of {wanted}: {_INSTEAD}")
    found = _flat(there.options)
    for option, value in _flat(asked.options).items():
        if found.get(option) != value:
            shown = [_words(one) for one in (value, found.get(option))]
            word = option if option == "task" else f"--{option}"
            raise RunFileError(f"{word} is {shown[0]}, and {path} holds a grid with {shown[1]}: {_INSTEAD}")


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        option = f"{prefix}{name.replace('_', '-')}"
        found |= _flat(value, f"{option}.") if isinstance(value, dict) else {option: value}
    return found


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " ".join("inf" if one is None else _words(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
