"""The numbers of a matrix in a file, all of them exact but for rounding."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = (".npy", ".npz", ".mtx")
NAMED = ", ".join(SUFFIXES[:-1]) + f" or {SUFFIXES[-1]}"


def read_matrices(path: Path) -> dict[str, np.ndarray]:
    """The square matrices in a file, by name.

    Raises:
        ValueError: for another kind of file, or one that holds no square matrix.
        OSError: if there is none, or it cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: name a run directory or a file that ends in {NAMED}")
    try:
        if path.suffix == ".npy":
            found = {path.stem: np.load(path, allow_pickle=False)}
        elif path.suffix == ".npz":
            found = _read_npz(path)
        elif path.suffix == ".mtx":
            import scipy.io

            matrix = scipy.io.mmread(path)
            found = {path.stem: np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.todense())}
        else:
            raise ValueError(f"its name does not end in {NAMED}")
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a matrix: {error}") from error
    for name, matrix in found.items():
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
            raise ValueError(f"{path}: {name} has the shape {matrix.shape}, and a spectrum is of a square matrix")
        if matrix.dtype.kind not in "fiu":
            raise ValueError(f"{path}: {name} has entries of type {matrix.dtype}: real numbers are asked for")
    return found


def symmetric_part(matrix: np.ndarray, what: str) -> np.ndarray:
    """The matrix, its rounding aside exactly symmetric.

    Raises:
        ValueError: if it is not finite or not symmetric.
    """
    matrix = matrix if matrix.dtype in (np.float32, np.float64) else matrix.astype(np.float64)
    if not np.all(np.isfinite(matrix)):
        raise ValueError(f"{what} holds NaN or infinity: it has no spectrum")
    gap = np.abs(matrix - matrix.T)
    if gap.max() > np.sqrt(np.finfo(matrix.dtype).eps) * np.abs(matrix).max():
        row, column = np.unravel_index(np.argmax(gap), gap.shape)
        raise ValueError(
            f"{what} is not symmetric: its entries ({row}, {column}) and ({column}, {row}) are "
            f"{matrix[row, column]:g} and {matrix[column, row]:g}"
        )
    return (matrix + matrix.T) / 2


def numbers_of_file(path: Path) -> dict[str, Any]:
    """Arguments of `Problem` from the only matrix of a file, by all its eigenvalues.

    Raises:
        ValueError: for a file with several matrices, or one that is not square, symmetric, finite or not singular.
        OSError: if it cannot be read.
    """
    import jax.numpy as jnp

    from ..._solvers.quantum.encoding import DyadicLevels

    found = read_matrices(path)
    if len(found) > 1:
        raise ValueError(f"{path} holds {len(found)} matrices ({', '.join(found)}): a plan is for one of them")
    ((name, matrix),) = found.items()
    matrix = symmetric_part(matrix, f"{path.name}: {name}").astype(np.float64)
    eigenvalues = np.linalg.eigvalsh(matrix)
    largest, smallest = np.abs(eigenvalues).max(), np.abs(eigenvalues).min()
    if smallest <= largest * len(matrix) * np.finfo(np.float64).eps:
        raise ValueError(f"{path.name}: {name} is singular to rounding: no solver takes it, damp it first")
    levels = DyadicLevels.of(jnp.asarray(matrix))
    return {
        "n": len(matrix),
        "condition_number": float(largest / smallest),
        "degree": int((matrix != 0).sum(axis=1).max()),
        "max_entry": float(np.abs(matrix).max()),
        "frobenius_norm": float(np.linalg.norm(matrix)),
        "spectral_norm": float(largest),
        "definite": bool(eigenvalues.min() > 0),
        "levels": DyadicLevels(
            np.asarray(levels.diagonal, float), np.asarray(levels.degrees, float), np.asarray(levels.magnitudes, float)
        ),
        "notes": ("the condition number of the file's matrix is exact but for rounding",),
    }


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if not arrays:
        raise ValueError("it holds no array")
    if "format" in arrays:
        import scipy.sparse

        return {path.stem: scipy.sparse.load_npz(path).toarray()}
    return arrays
