"""LU factorisation, lineax's own, and the workload of dense factorisations."""

import lineax as lx

from ..core.records import ClassicalWorkload, Encoding, SystemEstimate
from .base import AbstractDelegate


class LU(AbstractDelegate):
    """LU factorisation with partial pivoting, for any nonsingular matrix; Q-Newton's classical solver."""

    @property
    def needs_definite(self) -> bool:
        return False

    @property
    def needs_symmetric(self) -> bool:
        return False

    @property
    def fidelity(self) -> None:
        return None

    @property
    def name(self) -> str:
        return "LU"

    @property
    def runs_as(self) -> str:
        return self.name

    @property
    def inner(self) -> lx.AbstractLinearSolver:
        return lx.LU()

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`2/3 n^3` operations for the factor and `2 n^2` for the two substitutions (Golub and Van Loan, 3.2)."""
        n = estimate.n
        return dense_workload("lu", n, 2 / 3 * n**3, estimate.max_entry.dtype.itemsize)


def dense_workload(kernel: str, n: int, factoring: float, itemsize: int) -> ClassicalWorkload:
    """The workload of a factorisation, of so many operations, and of its two substitutions."""
    # The matrix is copied into the factor, which is read once more by the substitutions.
    matrix = n**2 * itemsize
    return ClassicalWorkload(
        kernel=kernel,
        flops=factoring + 2.0 * n**2,
        bytes=3.0 * matrix,
        setup_flops=factoring,
        setup_bytes=2.0 * matrix,
    )
