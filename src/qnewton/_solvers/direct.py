"""LU factorisation, and the workload of dense factorisations."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import lineax as lx
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Array, Inexact, Int, PyTree

from .._core.arrays import Number
from .._core.records import ClassicalWorkload, Encoding, SystemEstimate
from .._core.settings import own_promotion
from .base import AbstractSolver
from .capabilities import Capabilities
from .flat import Structure, check_dense, flatten
from .verified import Check, as_held, at_scale


class LUState(eqx.Module):
    """Data for judging a solution, factors `[n, n]` in one, the row exchanges, and the solution's structures."""

    check: Check
    factors: Inexact[Array, "n n"]
    pivots: Int[Array, " n"]
    like: Structure = eqx.field(static=True)
    like_transposed: Structure = eqx.field(static=True)
    transposed: bool = eqx.field(static=True, default=False)


class LU(AbstractSolver):
    """LU factorisation with partial pivoting, for any nonsingular matrix; Q-Newton's classical solver.

    Real or complex. A numerically singular matrix, or one that is not finite, is `RESULTS.singular` (see
    `_solvers.verified`); `stats["residual"]` is the relative residual.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()
    name: ClassVar[str] = "LU"
    applied_as: ClassVar[str | None] = "substitution"

    def workload(self, estimate: SystemEstimate, encoding: Encoding) -> ClassicalWorkload:
        """`2/3 n^3` operations for the factor and `2 n^2` for the two substitutions (Golub and Van Loan, 3.2)."""
        return lu_workload(estimate.n, estimate.max_entry.dtype.itemsize)

    @own_promotion()
    def init(self, operator: lx.AbstractLinearOperator, options: dict[str, Any]) -> LUState:
        """Form and factor the matrix.

        Raises:
            ValueError: if the operator is not square, or of a float type without factorisations.
        """
        check_dense(operator, self.name)
        matrix = operator.as_matrix()
        # A diagonal is its own factor.
        diagonal = matrix, jnp.arange(matrix.shape[0], dtype=jnp.int32)
        factors, pivots = diagonal if lx.is_diagonal(operator) else lu_factor(matrix)
        like, like_transposed = Structure.of(operator.in_structure()), Structure.of(operator.out_structure())
        return LUState(Check.of(matrix, options), factors, pivots, like, like_transposed)

    @own_promotion()
    def compute(
        self, state: LUState, vector: PyTree[Array], options: dict[str, Any]
    ) -> tuple[PyTree[Array], lx.RESULTS, dict[str, Any]]:
        b, exponent = state.check.care.near_one(flatten(vector))
        x = as_held(lu_solve((state.factors, state.pivots), b, trans=int(state.transposed)), exponent)
        result, stats = state.check(x, b)
        value, result = at_scale(x, exponent, result)
        return state.like.unflatten(value), result, stats

    def transpose(self, state: LUState, options: dict[str, Any]) -> tuple[LUState, dict[str, Any]]:
        likes = state.like_transposed, state.like
        return LUState(
            state.check.transpose(), state.factors, state.pivots, *likes, transposed=not state.transposed
        ), options

    def conj(self, state: LUState, options: dict[str, Any]) -> tuple[LUState, dict[str, Any]]:
        check, factors = state.check.conj(), state.factors.conj()
        return eqx.tree_at(lambda s: (s.check, s.factors), state, (check, factors)), options

    def assume_full_rank(self) -> bool:
        return True


def lu_workload(n: Number, itemsize: int) -> ClassicalWorkload:
    """`2/3 n^3` operations for the factor, `2 n^2` for the substitutions (Golub and Van Loan, 3.2)."""
    return dense_workload("lu", n, 2 / 3 * n**3, itemsize)


def dense_workload(kernel: str, n: Number, factoring: Number, itemsize: int, arrays: Number = 2.0) -> ClassicalWorkload:
    """Return the workload of a factorisation, and of one solve with it: two substitutions, or an inverse's product.

    Args:
        kernel: the name under which it is calibrated.
        n: rows.
        factoring: operations of the factorisation.
        itemsize: bytes of an entry.
        arrays: how many arrays of `n x n` the factorisation reads or writes.
    """
    # The matrix is copied into the factor, which is read once more by the solve.
    matrix = n**2 * itemsize
    return ClassicalWorkload(
        kernel=kernel,
        flops=factoring + 2.0 * n**2,
        bytes=(arrays + 1.0) * matrix,
        setup_flops=factoring,
        setup_bytes=arrays * matrix,
    )
