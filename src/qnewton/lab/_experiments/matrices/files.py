"""The matrices in a file: dense arrays, or sparse ones, which stay sparse."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.lib import format as lib

from ..._runfile import readable
from .market import Announced, market_announces, read_matrix_market

SUFFIXES = (".npy", ".npz", ".mtx", ".mtx.gz")
NAMED = ", ".join(SUFFIXES[:-1]) + f" or {SUFFIXES[-1]}"
Matrix = np.ndarray | scipy.sparse.csr_array
_DENSE_ROWS = 20_000
"""A dense array of so many rows takes 3 GB."""


def read_matrices(path: Path) -> dict[str, Matrix]:
    """The square matrices in a file, by name.

    Raises:
        ValueError: for another kind of file, or one that holds no square matrix.
        OSError: if there is none, or it cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: name a run directory or a file that ends in {NAMED}")
    name = readable(path.name.removesuffix(".gz").rpartition(".")[0])
    try:
        if path.name.endswith(".npy"):
            found: dict[str, Matrix] = {name: np.load(path, allow_pickle=False)}
        elif path.name.endswith(".npz"):
            found = _read_npz(path, name)
        elif path.name.endswith((".mtx", ".mtx.gz")):
            found = {name: read_matrix_market(path)}
        else:
            raise ValueError(f"its name does not end in {NAMED}")
    except Exception as error:  # numpy, scipy and zipfile meet what no writer of theirs wrote with errors of any kind
        said = error if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} cannot be read as a matrix: {said}") from error
    for name, matrix in found.items():
        shape = shape_of(matrix)
        if len(shape) != 2 or shape[0] != shape[1] or 0 in shape:
            raise ValueError(f"{path}: {name} has the shape {shape}, and a square matrix is asked for")
        if matrix.dtype.kind not in "fiuc":
            raise ValueError(f"{path}: {name} has entries of type {matrix.dtype}: numbers are asked for")
    return found


def shape_of(matrix: Matrix) -> tuple[int, ...]:
    """The shape, which scipy's stubs do not promise."""
    shape = matrix.shape
    assert shape is not None
    return tuple(shape)


def dense(matrix: Matrix, what: str) -> np.ndarray:
    """The matrix as an array of real numbers.

    Raises:
        ValueError: for a sparse matrix that is too large for that, or a complex one.
    """
    if matrix.dtype.kind == "c":
        raise ValueError(f"{what} is complex: only qnewton plan and breakeven take complex matrices")
    if isinstance(matrix, np.ndarray):
        return matrix
    rows = shape_of(matrix)[0]
    if rows > _DENSE_ROWS:
        raise ValueError(
            f"{what} is sparse and has {rows} rows: as a dense array it would take {8e-9 * rows**2:.3g} GB. Only "
            "qnewton plan and breakeven take it as it is"
        )
    return matrix.toarray()


def symmetric_part(matrix: np.ndarray, what: str) -> np.ndarray:
    """The matrix, its rounding aside exactly symmetric; of a complex one, Hermitian.

    Raises:
        ValueError: if it is not finite or not symmetric.
    """
    matrix = matrix if matrix.dtype.kind in "fc" and matrix.dtype.itemsize >= 4 else matrix.astype(np.float64)
    if not np.all(np.isfinite(matrix)):
        raise ValueError(f"{what} holds NaN or infinity: it has no spectrum")
    other = matrix.conj().T
    gap = np.abs(matrix - other)
    if gap.max() > np.sqrt(np.finfo(matrix.dtype).eps) * np.abs(matrix).max():
        row, column = np.unravel_index(np.argmax(gap), gap.shape)
        raise ValueError(
            f"{what} is not {'Hermitian' if matrix.dtype.kind == 'c' else 'symmetric'}: "
            f"{apart(int(row), int(column), matrix[row, column], matrix[column, row])}"
        )
    return matrix / 2 + other / 2


def apart(row: int, column: int, entry: complex, other: complex) -> str:
    """Describe an entry that is not the conjugate of the one across the diagonal."""
    if row == column:
        return f"its entry ({row}, {row}) on the diagonal is {entry:g}, and not real"
    return f"its entries ({row}, {column}) and ({column}, {row}) are {entry:g} and {other:g}"


def _read_npz(path: Path, name: str) -> dict[str, Matrix]:
    # Opened here: numpy leaves a file open that turns out to be none of its own.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if "format" in archive.files:
            file.seek(0)
            found = scipy.sparse.csr_array(scipy.sparse.load_npz(file))
            # Compiled loops write where these numbers say.
            found.check_format(full_check=True)
            return {name: found}
        arrays = {key: archive[key] for key in archive.files}
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{key} in it is no array")
    if not arrays:
        raise ValueError("it holds no array")
    return arrays


def announced(path: Path) -> Announced | None:
    """What a sparse file's first bytes say of its matrix, before anything of its size is read.

    None for a dense array, and for what `read_matrices` will refuse.
    """
    try:
        if path.name.endswith((".mtx", ".mtx.gz")):
            return market_announces(path)
        if path.name.endswith(".npz"):
            with zipfile.ZipFile(path) as archive:
                if "format.npy" not in archive.namelist():
                    return None
                rows, _ = np.load(io.BytesIO(archive.read("shape.npy")))
                with archive.open("data.npy") as data:
                    version = lib.read_magic(data)
                    read = lib.read_array_header_1_0 if version == (1, 0) else lib.read_array_header_2_0
                    shape, _, dtype = read(data)
                return Announced(int(rows), math.prod(shape), dtype.kind == "c")
    except Exception:
        return None  # it says why when it is read
    return None
