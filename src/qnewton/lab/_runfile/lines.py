"""The lines of a `*.jsonl` file, up to the first malformed one.

A file is read line by line, and what it holds is kept only where it is short: of a long one a record is decoded when it
is asked for, so that a run of any length is read in the same memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, overload

from . import chain
from .decode import Upgrade, decode
from .errors import NotJSONError, RunFileError
from .manifest import altered

T = TypeVar("T")
KEPT = 20_000
"""Lines of a file that are kept as records, about; of a longer one none is."""
_APART = 256
"""Lines from one whose position is known to the next."""
_PIECE = 1 << 16
"""Bytes that are read at a time from the end of a file."""


@dataclass(frozen=True)
class Places:
    """Positions of the lines of a file that are not blank.

    Attributes:
        path: of the file.
        known: position of every 256th of them.
    """

    path: Path
    known: list[int] = field(default_factory=list)

    def after(self, count: int) -> int:
        """Position after that many lines."""
        if not count:
            return 0
        with self.path.open("rb") as file:
            self._go_to(file, count - 1)
            _next(file)
            return file.tell()

    def read(self, numbers: range) -> Iterator[bytes]:
        """The lines with these numbers, in their order."""
        with self.path.open("rb") as file:
            at = -1
            for number in numbers:
                if at < 0 or not 0 <= number - at < _APART:
                    self._go_to(file, number)
                else:
                    _skip(file, number - at)
                at = number + 1
                yield _next(file)

    def _go_to(self, file: BinaryIO, number: int) -> None:
        file.seek(self.known[number // _APART])
        _skip(file, number % _APART)


def _next(file: BinaryIO) -> bytes:
    line = file.readline()
    while line and not line.strip():
        line = file.readline()
    return line


def _skip(file: BinaryIO, count: int) -> None:
    for _ in range(count):
        _next(file)


class Records(Sequence[T]):
    """The records of a long file, each decoded when it is asked for; what iterates over it holds one at a time."""

    def __init__(self, places: Places, kind: type[T], upgrade: Upgrade | None, numbers: range):
        """Take what `read_lines` has found good.

        Args:
            places: of the lines.
            kind: of the records.
            upgrade: of an older schema.
            numbers: of the lines that are in here.
        """
        self._places, self._kind, self._upgrade, self._numbers = places, kind, upgrade, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[T]:
        for line in self._places.read(self._numbers):
            plain = chain.unchained(line.rstrip(), 0)[0]
            yield decode(plain, self._kind, str(self._places.path), self._upgrade)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> "Records[T]": ...
    def __getitem__(self, index: int | slice) -> "T | Records[T]":
        if isinstance(index, slice):
            return Records(self._places, self._kind, self._upgrade, self._numbers[index])
        number = self._numbers[index]
        return next(iter(Records(self._places, self._kind, self._upgrade, range(number, number + 1))))


@dataclass(frozen=True)
class Lines(Generic[T]):
    """Content of a file of lines.

    Attributes:
        records: of the lines that are whole.
        places: of these lines.
        missing: whether there is no such file.
        torn: number of the last line, where it was cut off while it was written: it has no end, or is not JSON.
        broken: what is wrong with the first line that is not as it should be and not merely cut off; None: nothing.
    """

    records: Sequence[T]
    places: Places
    missing: bool = False
    torn: int | None = None
    broken: RunFileError | None = None

    def until(self, count: int) -> int:
        """Position after that many lines."""
        return self.places.after(count)


def read_lines(
    path: Path, kind: type[T], upgrade: Upgrade | None = None, seen: Callable[[T], object] = lambda record: None
) -> Lines[T]:
    """Read a file of lines.

    Args:
        path: of the file, which need not be there.
        kind: of its records.
        upgrade: of an older schema.
        seen: is told of each record in turn.
    """
    places = Places(path)
    if not path.is_file():
        return Lines((), places, missing=True)
    kept: list[T] = []
    count, position, torn, broken = 0, 0, None, None
    before, older = chain.origin(path.parent), True
    keeping, size = True, path.stat().st_size
    with path.open("rb") as file:
        end = _last_line(file)
        for number, line in enumerate(file, start=1):
            start, position = position, position + len(line)
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            if start >= end and not line.endswith(b"\n"):
                torn = number
                break
            line, checksum, right = chain.unchained(line.rstrip(), before)
            try:
                record = decode(line, kind, place, upgrade)
                older = older and checksum is None
                if not right and not older:  # older lines have no checksum, but none follows one that has
                    altered(f"{place}: altered after the run had written it, moved, or of another run than config.json")
            except RunFileError as error:
                torn, broken = (number, None) if start >= end and isinstance(error, NotJSONError) else (None, error)
                break
            before = checksum or 0
            if count % _APART == 0:
                places.known.append(start)
            count += 1
            # As soon as the length of the first lines says that they will be too many, and at the latest when they are.
            if count > KEPT or (count == _APART and size * count > KEPT * position):
                keeping = False
                kept.clear()
            if keeping:
                kept.append(record)
            seen(record)
    records = tuple(kept) if keeping else Records(places, kind, upgrade, range(count))
    return Lines(records, places, torn=torn, broken=broken)


def _last_line(file: BinaryIO) -> int:
    """Return the start of the last line that is not blank; the file is at its beginning afterwards."""
    position = file.seek(0, 2)
    while position:
        size = min(_PIECE, position)
        file.seek(position - size)
        text = file.read(size).rstrip()
        position += len(text) - size
        if text:
            break
    start = _before(file, position)
    file.seek(0)
    return start


def _before(file: BinaryIO, position: int) -> int:
    """Position after the last end of a line before `position`; 0 where there is none."""
    while position:
        size = min(_PIECE, position)
        position = file.seek(position - size)
        found = file.read(size).rfind(b"\n")
        if found >= 0:
            return position + found + 1
    return 0
