"""Both ends of the magnitudes of a sparse matrix's eigenvalues: by products, or by a factorisation whose fill fits."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from ...._core.memory import available_bytes
from .files import shape_of
from .lanczos import Ends, both_ends
from .symbolic import Fill

_TOLERANCE = 0.01
_MOST_PRODUCTS = 4000
_MOST_SOLVES = 400
_MOST_FLOPS = 2e10
"""Of a factorisation by SuperLU: half a minute."""
_EXACT = 1e-6
"""Relative residual of a solve with the factors up to which they are trusted."""


@dataclass(frozen=True)
class Extremes:
    """The least and the greatest magnitude of an eigenvalue.

    Attributes:
        low, high: as found.
        definite: whether all eigenvalues are positive.
        error: of the quotient, relative, by the residuals.
        work: that it took, in words.
    """

    low: float
    high: float
    definite: bool
    error: float
    work: str


def extremes(matrix: scipy.sparse.csr_array, what: str, fill: Fill | None) -> Extremes:
    """The ends by products with the matrix; where these do not resolve the lower one, by solves with its factors.

    Args:
        matrix: Hermitian, in double precision, with its largest entry near 1.
        what: its name in messages.
        fill: of its factor; None where that is not known.

    Raises:
        ValueError: if neither resolves it.
    """
    found = _by_products(matrix)
    if isinstance(found, Extremes):
        return found
    solved = None if fill is None else _by_solves(matrix, fill, found)
    if solved is not None:
        return solved
    raise ValueError(
        f"{what}: its condition number is not resolved after {found.products} products; it is about "
        f"{found.kappa:.2g} or more. Give --n, --kappa and --sparsity in place of the file, or damp the matrix"
    )


@dataclass(frozen=True)
class _Unresolved:
    """What products alone have shown: the upper end, the least that the quotient is, and how many there were."""

    high: float
    high_error: float
    kappa: float
    products: int


def _by_products(matrix: scipy.sparse.csr_array) -> Extremes | _Unresolved:
    def settled(ends: Ends) -> bool:
        high = max(abs(ends.least), abs(ends.greatest))
        sign_known = ends.least_error < abs(ends.least)
        near = ends.least < 0 or ends.least_error <= _TOLERANCE * abs(ends.least)
        return sign_known and near and ends.greatest_error <= _TOLERANCE * high

    rows = shape_of(matrix)[0]
    ends = both_ends(lambda v: matrix @ v, rows, matrix.dtype, settled, _MOST_PRODUCTS)
    high, high_error = max((abs(ends.least), ends.least_error), (abs(ends.greatest), ends.greatest_error))
    if not settled(ends):
        return _Unresolved(high, high_error, _over(high, ends.least_error), ends.products)
    if ends.least > 0:
        error = ends.least_error / ends.least + max(ends.greatest_error, 0.0) / high
        return Extremes(ends.least, high, True, error, f"{ends.products} products")

    # The smallest magnitude lies inside the spectrum: that of the square is at its end.
    def settled_squared(ends: Ends) -> bool:
        return ends.least > 0 and ends.least_error <= 2 * _TOLERANCE * ends.least

    squared = both_ends(lambda v: matrix @ (matrix @ v), rows, matrix.dtype, settled_squared, _MOST_PRODUCTS // 2)
    products = ends.products + 2 * squared.products
    if not settled_squared(squared):
        least = math.sqrt(max(squared.least, 0.0) + squared.least_error)
        return _Unresolved(high, high_error, _over(high, least), products)
    error = squared.least_error / (2 * squared.least) + max(high_error, 0.0) / high
    return Extremes(math.sqrt(squared.least), high, False, error, f"{products} products")


def _over(high: float, low: float) -> float:
    return high / low if low > 0 else math.inf


class _Factors:
    """A factorisation in the order of its analysis, with all pivots on the diagonal.

    Attributes:
        definite: whether all pivots are positive, which is whether all eigenvalues are (Sylvester).
        holds: whether a solve with it has a small residual.
    """

    def __init__(self, matrix: scipy.sparse.csr_array, order: np.ndarray):
        self._order = order
        self._factors = scipy.sparse.linalg.splu(
            scipy.sparse.csc_array(matrix[order][:, order]),
            permc_spec="NATURAL",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        self.definite = bool(np.all(np.real(self._factors.U.diagonal()) > 0))
        probe = np.random.default_rng(0).standard_normal(len(order)).astype(matrix.dtype)
        residual = np.linalg.norm(matrix @ self.solve(probe) - probe)
        self.holds = bool(residual <= _EXACT * np.linalg.norm(probe))

    def solve(self, vector: np.ndarray) -> np.ndarray:
        """The matrix's inverse times a vector."""
        found = np.empty_like(vector)
        found[self._order] = self._factors.solve(vector[self._order])
        return found


def _by_solves(matrix: scipy.sparse.csr_array, fill: Fill, found: _Unresolved) -> Extremes | None:
    """The lower end as the upper one of the inverse; None where the factors do not fit or do not hold."""
    if 4 * fill.entries * (matrix.dtype.itemsize + 4) > available_bytes() or 2 * fill.flops > _MOST_FLOPS:
        return None
    try:
        factors = _Factors(matrix, fill.order)
    except RuntimeError:
        # A pivot is zero.
        return None

    def far(ends: Ends) -> tuple[float, float]:
        return max((abs(ends.least), ends.least_error), (abs(ends.greatest), ends.greatest_error))

    def settled(ends: Ends) -> bool:
        return far(ends)[1] <= _TOLERANCE * far(ends)[0]

    ends = both_ends(factors.solve, shape_of(matrix)[0], matrix.dtype, settled, _MOST_SOLVES)
    if not (factors.holds and settled(ends)):
        return None
    size, error = far(ends)
    error = error / size + max(found.high_error, 0.0) / found.high
    return Extremes(
        1 / size, found.high, factors.definite, error, f"{found.products} products and {ends.products} solves"
    )
