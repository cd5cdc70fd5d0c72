"""Both ends of a symmetric matrix's spectrum from products with it, in the memory of a few vectors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

_CHECKED_EVERY = 20
_LEAST_STEPS = 40


@dataclass(frozen=True)
class Ends:
    """The least and the greatest eigenvalue that a Lanczos iteration found, with how far each may be off.

    Attributes:
        least, greatest: Ritz values; both lie inside the spectrum, rounding aside.
        least_error, greatest_error: norms of the residuals of the Ritz vectors: within that distance of each value
            lies an eigenvalue (Parlett, The Symmetric Eigenvalue Problem, Theorem 4.5.1).
        products: with the matrix.
    """

    least: float
    greatest: float
    least_error: float
    greatest_error: float
    products: int


def both_ends(
    product: Callable[[np.ndarray], np.ndarray],
    rows: int,
    dtype: np.dtype,
    settled: Callable[[Ends], bool],
    most: int,
    seed: int = 0,
) -> Ends:
    """Runs the Lanczos iteration without reorthogonalisation until both ends are known well enough.

    Lost orthogonality only repeats eigenvalues that were found (Paige 1980), so the ends and the residuals hold.

    Args:
        product: of the Hermitian matrix with a vector.
        rows: of the matrix.
        dtype: of the vectors, float64 or complex128.
        settled: whether what is known is enough.
        most: products.
        seed: of the random start.
    """
    rng = np.random.default_rng(seed)
    vector = rng.standard_normal(rows).astype(dtype)
    if dtype.kind == "c":
        vector = vector + 1j * rng.standard_normal(rows)
    vector /= np.linalg.norm(vector)
    before, diagonal, beside = np.zeros_like(vector), [], []
    found = Ends(0.0, 0.0, np.inf, np.inf, 0)
    for step in range(1, most + 1):
        new = product(vector) - (beside[-1] if beside else 0.0) * before
        diagonal.append(float(np.vdot(vector, new).real))
        new -= diagonal[-1] * vector
        beside.append(float(np.linalg.norm(new)))
        ended = beside[-1] <= np.finfo(np.float64).eps * max(map(abs, (*diagonal, *beside[:-1])), default=0.0)
        if ended or step == most or (step >= _LEAST_STEPS and step % _CHECKED_EVERY == 0):
            found = _ends(diagonal, beside)
            if ended or settled(found):
                return found
        before, vector = vector, new / beside[-1]
    return found


def _ends(diagonal: list[float], beside: list[float]) -> Ends:
    """Return the extreme eigenvalues of the tridiagonal matrix, with the norms of their residuals."""
    ends, errors = [], []
    last = len(diagonal) - 1
    for place in (0, last):
        values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside[:-1], select="i", select_range=(place, place))
        ends.append(float(values[0]))
        errors.append(abs(beside[-1] * float(vectors[-1, 0])))
    return Ends(ends[0], ends[1], errors[0], errors[1], len(diagonal))
