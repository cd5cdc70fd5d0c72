"""Matrix Market files, read strictly: a line that says anything else than the header promises is refused by its number.

Format: Boisvert, Pozo, Remington, "The Matrix Market Exchange Formats", NISTIR 5935 (1996).
"""

import gzip
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import scipy.sparse

_FIELDS = {"real": 1, "double": 1, "integer": 1, "complex": 2, "pattern": 0}
_SYMMETRIES = ("general", "symmetric", "hermitian", "skew-symmetric")
_LONGEST_LINE = 1 << 20
"""Characters; what packs well can unpack to one of any length."""
_BANNER = "%%MatrixMarket matrix coordinate|array real|integer|complex|pattern general|symmetric|hermitian"


@dataclass(frozen=True)
class _Head:
    """The first lines of a file.

    Attributes:
        sparse: whether entries come with their places.
        numbers: in each entry.
        symmetry: which other entries follow from those in the file.
        rows, columns, entries: as announced; an array has `rows * columns` entries, or those of the lower triangle.
        lines: that the head takes.
    """

    sparse: bool
    numbers: int
    symmetry: str
    rows: int
    columns: int
    entries: int
    lines: int


def read_matrix_market(path: Path) -> np.ndarray | scipy.sparse.csr_array:
    """The matrix in a `.mtx` or `.mtx.gz` file; a coordinate file stays sparse.

    Raises:
        ValueError: names the line that is not what the header promises.
        OSError: if the file cannot be read.
    """
    with _opened(path) as file:
        head = _read_head(file)
        try:
            return _sparse(file, head) if head.sparse else _dense(file, head)
        except _Mistake as mistake:
            place, wrong = mistake.args
            raise ValueError(f"line {_line_of(path, head, place)}: {wrong}") from None
        except ValueError:
            number, line = _first_mistake(path, head)
            raise ValueError(f"line {number} is {line!r}: {_expected(head)} stand there") from None


class Announced(NamedTuple):
    """The size of a sparse matrix.

    Attributes:
        rows, entries: with both triangles.
        complex: whether its entries are complex numbers.
    """

    rows: int
    entries: int
    complex: bool


def market_announces(path: Path) -> Announced | None:
    """What the head of a coordinate file announces; None for an array.

    Raises:
        ValueError: for a head that is none.
    """
    with _opened(path) as file:
        head = _read_head(file)
    both = 1 if head.symmetry == "general" else 2
    return Announced(head.rows, both * head.entries, head.numbers == 2) if head.sparse else None


class _Mistake(Exception):
    """The number of an entry, and what is wrong with it."""


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="latin-1")
    return path.open(encoding="latin-1")


def _read_head(file: IO[str]) -> _Head:
    banner = file.readline(_LONGEST_LINE).strip().lower().split()
    kinds = ("coordinate", "array"), _FIELDS, _SYMMETRIES
    known = len(banner) == 5 and banner[:2] == ["%%matrixmarket", "matrix"]
    if not known or any(word not in of for word, of in zip(banner[2:], kinds, strict=True)):
        raise ValueError(f"line 1 is {' '.join(banner)[:80]!r}: a Matrix Market file begins with {_BANNER}")
    sparse, numbers, symmetry = banner[2] == "coordinate", _FIELDS[banner[3]], banner[4]
    if symmetry == "skew-symmetric":
        raise ValueError("line 1: a skew-symmetric matrix is asked for as a symmetric one")
    if numbers == 0 and not sparse:
        raise ValueError("line 1: a pattern has no values in an array")
    number, line = 1, "%"
    while line and (line.startswith("%") or not line.strip()):
        line, number = file.readline(_LONGEST_LINE), number + 1
    sizes = line.split()
    wanted = 3 if sparse else 2
    if len(sizes) != wanted or not all(size.isdecimal() for size in sizes):
        words = "rows, columns and entries" if sparse else "rows and columns"
        raise ValueError(f"line {number} is {line.strip()!r}: the numbers of {words} stand there")
    rows, columns, *rest = map(int, sizes)
    if symmetry != "general" and rows != columns:
        raise ValueError(f"line {number}: a {symmetry} matrix is square, and this is {rows} by {columns}")
    entries = rest[0] if sparse else rows * columns if symmetry == "general" else rows * (rows + 1) // 2
    return _Head(sparse, numbers, symmetry, rows, columns, entries, number)


def _table(file: IO[str], kinds: list[tuple[str, type]], head: _Head) -> np.ndarray:
    """All entries; each line has exactly one number for each kind."""
    found = np.zeros(0, kinds)
    lines = (line for line in _bounded(file) if line.strip())
    first = next(lines, None)
    if first is not None and not head.entries:
        raise _Mistake(0, "an entry, and its head announces none")
    if first is not None:
        # One more than announced shows that there are more, whatever a packed file unpacks to.
        rest, most = itertools.chain([first], lines), head.entries + 1
        found = np.atleast_1d(np.loadtxt(rest, dtype=kinds, comments=None, max_rows=most))
    if len(found) > head.entries:
        raise _Mistake(head.entries, f"the file goes on after the {head.entries} entries that its head announces")
    if len(found) < head.entries:
        raise _Mistake(len(found), f"the file has {len(found)} entries, and its head announces {head.entries}")
    return found


def _bounded(file: IO[str]) -> Iterator[str]:
    """The lines of a file, up to one that goes on for ever, of which the beginning is the last."""
    while line := file.readline(_LONGEST_LINE):
        yield line
        if len(line) == _LONGEST_LINE:
            return


def _values(found: np.ndarray, head: _Head) -> np.ndarray:
    if head.numbers == 0:
        return np.ones(len(found))
    return found["real"] + 1j * found["imaginary"] if head.numbers == 2 else found["real"]


def _kinds(head: _Head) -> list[tuple[str, type]]:
    return [("real", np.float64), ("imaginary", np.float64)][: head.numbers]


def _sparse(file: IO[str], head: _Head) -> scipy.sparse.csr_array:
    found = _table(file, [("row", np.int64), ("column", np.int64), *_kinds(head)], head)
    row, column, values = found["row"] - 1, found["column"] - 1, _values(found, head)
    _check((row < 0) | (row >= head.rows), f"a row is a number from 1 to {head.rows}")
    _check((column < 0) | (column >= head.columns), f"a column is a number from 1 to {head.columns}")
    if head.symmetry != "general":
        _check(column > row, f"a {head.symmetry} file holds the lower triangle alone, and this entry is above it")
    if head.symmetry == "hermitian" and head.numbers == 2:
        least = np.sqrt(np.finfo(np.float64).eps) * np.abs(values).max(initial=0.0)
        _check((row == column) & (np.abs(np.imag(values)) > least), "the diagonal of a Hermitian matrix is real")
    place = row * head.columns + column
    order = np.argsort(place, kind="stable")
    again = np.zeros(len(place), bool)
    again[order[1:]] = place[order[1:]] == place[order[:-1]]
    _check(again, "this entry stands in the file already")
    matrix = scipy.sparse.coo_array((values, (row, column)), shape=(head.rows, head.columns)).tocsr()
    if head.symmetry == "general":
        return matrix
    below = scipy.sparse.tril(matrix, -1)
    return scipy.sparse.csr_array(matrix + (below.conj().T if head.symmetry == "hermitian" else below.T))


def _dense(file: IO[str], head: _Head) -> np.ndarray:
    """Column by column; of a symmetric matrix the lower triangle."""
    values = _values(_table(file, _kinds(head), head), head)
    if head.symmetry == "general":
        return values.reshape(head.columns, head.rows).T
    matrix = np.zeros((head.rows, head.rows), values.dtype)
    matrix.T[np.triu_indices(head.rows)] = values
    mirrored = matrix.conj().T if head.symmetry == "hermitian" else matrix.T
    return np.where(np.tri(head.rows, dtype=bool), matrix, mirrored)


def _check(wrong: np.ndarray, words: str) -> None:
    if wrong.any():
        raise _Mistake(int(np.argmax(wrong)), words)


def _expected(head: _Head) -> str:
    numbers = ["one number", "two numbers"][head.numbers - 1] if head.numbers else "nothing"
    return f"a row, a column and {numbers}" if head.sparse else numbers


def _lines(path: Path, head: _Head) -> Iterator[tuple[int, str]]:
    """The lines after the head that are not blank, with their numbers."""
    with _opened(path) as file:
        for number, line in enumerate(_bounded(file), start=1):
            if number > head.lines and line.strip():
                yield number, line.strip()


def _line_of(path: Path, head: _Head, place: int) -> int:
    """The line of an entry; the last one where the file ends before it."""
    numbers = [head.lines, *(number for number, _ in itertools.islice(_lines(path, head), place + 1))]
    return numbers[-1]


def _first_mistake(path: Path, head: _Head) -> tuple[int, str]:
    kinds: list[type] = [int, int] * head.sparse + [float] * head.numbers
    mistakes = ((number, line[:80]) for number, line in _lines(path, head) if not _reads(line, kinds))
    return next(mistakes, (head.lines, ""))


def _reads(line: str, kinds: list[type]) -> bool:
    """Whether numpy reads the line as such numbers; unlike Python, it takes no `1_000`."""
    words = line.split()
    if len(words) != len(kinds) or "_" in line:
        return False
    try:
        return len([kind(word) for kind, word in zip(kinds, words, strict=True)]) == len(kinds)
    except ValueError:
        return False
