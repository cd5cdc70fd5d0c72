"""The numbers of a matrix that a plan needs: all of them exact, or of a large sparse one by products with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from ...._core.memory import available_bytes, readable
from .extremes import extremes
from .files import Announced, announced, apart, read_matrices, shape_of, symmetric_part
from .pattern import analysis_bytes, fill_if_analysed, structure_of

_EXACT_ROWS = 3000
"""Up to so many rows all eigenvalues of a sparse matrix are computed: seconds, and 0.2 GB."""
_DIAGONALS = 2
"""Diagonals for each nonzero in a row up to which a matrix is one of few diagonals."""


def numbers_of_file(path: Path, tell: Callable[[str], None] = lambda said: None) -> dict[str, Any]:
    """Arguments of `Problem` from the only matrix of a file.

    Args:
        path: of the file.
        tell: is called with what a large matrix will take, before it is read.

    Returns:
        The arguments, and `notes` on how they were found.

    Raises:
        ValueError: for a file with several matrices, or one that is not square, Hermitian, finite or not singular.
        MemoryError: if the work needs more memory than there is.
        OSError: if it cannot be read.
    """
    size = announced(path)
    if size is not None and size.rows > _EXACT_ROWS:
        needed, free = _needed_bytes(size), available_bytes()
        tell(f"{path.name}: {size.rows:,} rows, {size.entries:,} entries; its numbers take about {readable(needed)}")
        if needed > free:
            raise MemoryError(f"{path.name} takes about {readable(needed)}, and {readable(free)} are free")
    found = read_matrices(path)
    if len(found) > 1:
        raise ValueError(f"{path} holds {len(found)} matrices ({', '.join(found)}): a plan is for one of them")
    ((name, matrix),) = found.items()
    what = f"{path.name}: {name}"
    if isinstance(matrix, np.ndarray):
        return _of_dense(matrix, what)
    if shape_of(matrix)[0] <= _EXACT_ROWS:
        return _of_dense(matrix.toarray(), what)
    return _of_sparse(matrix, what)


def _of_dense(matrix: np.ndarray, what: str) -> dict[str, Any]:
    matrix = symmetric_part(matrix, what)
    matrix = _scaled(matrix.astype(np.complex128 if matrix.dtype.kind == "c" else np.float64))
    eigenvalues = np.linalg.eigvalsh(matrix)
    largest, smallest = np.abs(eigenvalues).max(), np.abs(eigenvalues).min()
    if smallest <= largest * len(matrix) * np.finfo(np.float64).eps:
        raise ValueError(f"{what} is singular to rounding: no solver takes it, damp it first")
    rows, definite = scipy.sparse.csr_array(matrix), bool(eigenvalues.min() > 0)
    structure, notes = structure_of(rows, definite, fill_if_analysed(rows))
    return {
        **_entries(rows),
        "condition_number": float(largest / smallest),
        "spectral_norm": float(largest),
        "definite": definite,
        "structure": structure,
        "notes": ("the condition number of the file's matrix is exact but for rounding", *notes),
    }


def _of_sparse(matrix: scipy.sparse.csr_array, what: str) -> dict[str, Any]:
    matrix = _hermitian(matrix, what)
    matrix = _scaled(matrix)
    fill = fill_if_analysed(matrix)
    ends = extremes(matrix, what, fill)
    structure, notes = structure_of(matrix, ends.definite, fill)
    return {
        **_entries(matrix),
        "condition_number": ends.high / ends.low,
        "spectral_norm": ends.high,
        "definite": ends.definite,
        "structure": structure,
        "notes": (
            f"the condition number of the file's matrix is an estimate from {ends.work}, off by at most "
            f"{100 * ends.error:.1g} % with the Ritz values' residuals",
            *notes,
        ),
    }


def _hermitian(matrix: scipy.sparse.csr_array, what: str) -> scipy.sparse.csr_array:
    """The matrix in double precision, without stored zeros, its rounding aside exactly Hermitian."""
    matrix = scipy.sparse.csr_array(matrix, dtype=np.complex128 if matrix.dtype.kind == "c" else np.float64)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not np.all(np.isfinite(matrix.data)):
        raise ValueError(f"{what} holds NaN or infinity: it has no spectrum")
    gap = scipy.sparse.coo_array(matrix - matrix.conj().T)
    if gap.nnz and np.abs(gap.data).max() > np.sqrt(np.finfo(np.float64).eps) * np.abs(matrix.data).max():
        place = int(np.argmax(np.abs(gap.data)))
        row, column = int(gap.coords[0][place]), int(gap.coords[1][place])
        kind = "Hermitian" if matrix.dtype.kind == "c" else "symmetric"
        raise ValueError(f"{what} is not {kind}: {apart(row, column, matrix[row, column], matrix[column, row])}")
    if not matrix.nnz:
        raise ValueError(f"{what} is singular to rounding: no solver takes it, damp it first")
    return matrix


def _scaled(matrix: Any) -> Any:
    """The matrix over a power of two near its largest entry.

    No square then leaves the floating-point range, and the scale of a system cancels in all that a plan says.
    """
    data = matrix.data if scipy.sparse.issparse(matrix) else matrix
    exponent = int(np.frexp(np.abs(data).max())[1])
    half = exponent // 2
    # In two steps: 2^1074 is no double.
    return matrix * 2.0**-half * 2.0 ** (half - exponent)


def _entries(matrix: scipy.sparse.csr_array) -> dict[str, Any]:
    """Rows, degree, largest entry, Frobenius norm, the magnitudes of the entries, and of few diagonals."""
    from ...._solvers.quantum.encoding import Diagonals, DyadicLevels

    matrix.eliminate_zeros()
    size = np.abs(matrix.data)
    degree = int(np.diff(matrix.indptr).max())
    rows = np.repeat(np.arange(shape_of(matrix)[0]), np.diff(matrix.indptr))
    diagonals = Diagonals.of_entries(rows, matrix.indices, size)
    found: dict[str, Any] = {}
    if diagonals.largest is not None and len(diagonals.largest) <= _DIAGONALS * degree:
        found["diagonals"] = diagonals
    return {
        **found,
        "n": shape_of(matrix)[0],
        "degree": degree,
        "max_entry": float(size.max()),
        "frobenius_norm": float(np.linalg.norm(size)),
        "levels": DyadicLevels.of_rows(matrix.indptr, matrix.indices, size),
    }


def _needed_bytes(size: Announced) -> float:
    """The matrix, its transpose and their difference, some vectors, and the analysis of the pattern."""
    itemsize = 16 if size.complex else 8
    products = 4.4 * size.entries * (itemsize + 8) + 8.0 * size.rows * itemsize
    return products + analysis_bytes(size.rows, size.entries)
