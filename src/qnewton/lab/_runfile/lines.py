"""The lines of a `*.jsonl` file, up to the first malformed one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from . import chain
from .decode import Upgrade, decode
from .errors import NotJSONError, RunFileError
from .manifest import altered

T = TypeVar("T")


@dataclass(frozen=True)
class Lines(Generic[T]):
    """Content of a file of lines.

    Attributes:
        records: of the lines that are whole.
        ends: position in the file after each of them.
        missing: whether there is no such file.
        torn: number of the last line, where it was cut off while it was written: it has no end, or is not JSON.
        broken: what is wrong with the first line that is not as it should be and not merely cut off; None: nothing.
    """

    records: tuple[T, ...] = ()
    ends: tuple[int, ...] = ()
    missing: bool = False
    torn: int | None = None
    broken: RunFileError | None = None

    def until(self, count: int) -> int:
        """Position after that many lines."""
        return self.ends[count - 1] if count else 0


def read_lines(path: Path, kind: type[T], upgrade: Upgrade | None = None) -> Lines[T]:
    """Read a file of lines.

    Args:
        path: of the file, which need not be there.
        kind: of its records.
        upgrade: of an older schema.
    """
    if not path.is_file():
        return Lines(missing=True)
    records: list[T] = []
    ends: list[int] = []
    position, raw = 0, path.read_bytes()
    before, older = chain.origin(path.parent), True
    # Where the last line begins that is not blank.
    end = raw.rfind(b"\n", 0, len(raw.rstrip())) + 1
    for number, line in enumerate(raw.splitlines(keepends=True), start=1):
        last = position >= end
        position += len(line)
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        if last and not line.endswith(b"\n"):
            return Lines(tuple(records), tuple(ends), torn=number)
        line, checksum, right = chain.unchained(line.rstrip(), before)
        try:
            record = decode(line, kind, place, upgrade)
            older = older and checksum is None
            if not right and not older:  # older lines have no checksum, but none follows one that has
                altered(f"{place}: altered after the run had written it, moved, or of another run than config.json")
            records.append(record)
            before = checksum or 0
        except RunFileError as error:
            if last and isinstance(error, NotJSONError):
                return Lines(tuple(records), tuple(ends), torn=number)
            return Lines(tuple(records), tuple(ends), broken=error)
        ends.append(position)
    return Lines(tuple(records), tuple(ends))
